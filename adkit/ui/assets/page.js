// What the page's own elements do: the viewer of a heat map, sorting, and the camera. Loads nothing.
(() => {
  const LUT = "{{colours}}";
  const lut = Uint8Array.from(atob(LUT), (c) => c.charCodeAt(0));
  const VIEWER_STYLE = `{{viewer_style}}`;
  const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

  const load = (source) =>
    new Promise((resolve, reject) => {
      const picture = new Image();
      picture.onload = () => resolve(picture);
      picture.onerror = () => reject(new Error("the image cannot be shown"));
      picture.src = source;
    });

  const pixels = (picture, width, height) => {
    const canvas = document.createElement("canvas");
    canvas.width = width;
    canvas.height = height;
    const pen = canvas.getContext("2d", { willReadFrequently: true });
    pen.drawImage(picture, 0, 0, width, height);
    return pen.getImageData(0, 0, width, height);
  };

  // A map whose red and green are the high and low byte of 65,536 levels, bilinearly at another size.
  const enlarged = (packed, low, high, width, height) => {
    const { data, width: w, height: h } = packed;
    const values = new Float32Array(width * height);
    const at = (x, y) => low + ((data[4 * (y * w + x)] * 256 + data[4 * (y * w + x) + 1]) / 65535) * (high - low);
    for (let row = 0; row < height; row++) {
      const y = clamp(((row + 0.5) * h) / height - 0.5, 0, h - 1);
      const y0 = Math.floor(y), y1 = Math.min(h - 1, y0 + 1), dy = y - y0;
      for (let column = 0; column < width; column++) {
        const x = clamp(((column + 0.5) * w) / width - 0.5, 0, w - 1);
        const x0 = Math.floor(x), x1 = Math.min(w - 1, x0 + 1), dx = x - x0;
        const upper = at(x0, y0) * (1 - dx) + at(x1, y0) * dx;
        const lower = at(x0, y1) * (1 - dx) + at(x1, y1) * dx;
        values[row * width + column] = upper * (1 - dy) + lower * dy;
      }
    }
    return values;
  };

  // In a shadow of its own: the page changes what is around it as it likes. Another image makes it anew.
  class Viewer extends HTMLElement {
    static observedAttributes = ["image", "map"];

    connectedCallback() {
      this.due();
    }

    attributeChangedCallback() {
      if (this.shadowRoot) this.due();
    }

    due() {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.isConnected && this.build());
    }

    async build() {
      const root = this.shadowRoot ?? this.attachShadow({ mode: "open" });
      delete this.dataset.drawn;
      this.image = this.values = this.rebuilt = null;
      const get = (name) => parseFloat(this.getAttribute(name));
      this.low = get("scale-low");
      this.high = get("scale-high");
      this.threshold = this.usual = get("threshold");
      this.opacity = 1;
      this.zoom = 1;
      root.innerHTML = `<style>${VIEWER_STYLE}</style><div class="box"><div class="stage" tabindex="0" role="img"><canvas></canvas></div></div>
        <div class="tools"></div>`;
      this.stage = root.querySelector(".stage");
      this.stage.setAttribute("aria-label", this.getAttribute("label") ?? "image");
      this.canvas = root.querySelector("canvas");
      const hasMap = this.hasAttribute("map");
      this.view = hasMap ? "heat" : "image";
      this.tools(hasMap);
      try {
        const picture = await load(this.getAttribute("image"));
        const width = picture.naturalWidth, height = picture.naturalHeight;
        this.canvas.width = width;
        this.canvas.height = height;
        this.image = pixels(picture, width, height);
        if (hasMap) {
          const packed = await load(this.getAttribute("map"));
          const raw = pixels(packed, packed.naturalWidth, packed.naturalHeight);
          this.values = enlarged(raw, get("map-low"), get("map-high"), width, height);
        }
        if (this.hasAttribute("reconstruction")) {
          this.rebuilt = pixels(await load(this.getAttribute("reconstruction")), width, height);
        }
      } catch (error) {
        this.stage.textContent = error.message;
        return;
      }
      this.moving();
      this.draw();
      this.dataset.drawn = "yes";
    }

    tools(hasMap) {
      const bar = this.shadowRoot.querySelector(".tools");
      const views = [["heat", "Heat map"], ["image", "Image"], ["reconstruction", "Reconstruction"]]
        .filter(([name]) => (name === "heat" ? hasMap : name === "image" || this.hasAttribute(name)));
      const group = document.createElement("div");
      group.className = "views";
      group.setAttribute("role", "group");
      group.setAttribute("aria-label", "What is shown");
      for (const [name, title] of views) {
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = title;
        button.setAttribute("aria-pressed", String(name === this.view));
        button.addEventListener("click", () => {
          this.view = name;
          for (const other of group.children) other.setAttribute("aria-pressed", String(other === button));
          this.draw();
        });
        group.append(button);
      }
      if (views.length > 1) bar.append(group);
      if (hasMap) {
        bar.append(this.slider("Opacity", 0, 100, 100, (value) => {
          this.opacity = value / 100;
          return `${value} %`;
        }));
        const steps = 1000, span = this.high - this.low;
        const start = Number.isFinite(this.usual) ? Math.round(((this.usual - this.low) / span) * steps) : steps;
        bar.append(this.slider("Outline above", 0, steps, start, (value) => {
          this.threshold = value === start ? this.usual : this.low + (value / steps) * span;
          return this.threshold.toFixed(3) + (value === start ? " (the run's)" : "");
        }, start));
      }
      if (hasMap) {
        const at = (value) => clamp((value - this.low) / (this.high - this.low), 0, 1) * 100;
        const legend = document.createElement("div");
        legend.className = "legend";
        const stops = [0, 1, 2, 3, 4, 5, 6, 7, 8].map((step) => `rgb(${[...lut.slice(3 * Math.round(step * 31.875), 3 * Math.round(step * 31.875) + 3)]})`);
        legend.innerHTML = `<span>usual</span><i style="background: linear-gradient(to right, ${stops})"></i><span>far above</span>`;
        if (Number.isFinite(this.usual)) legend.querySelector("i").innerHTML = `<b style="left: ${at(this.usual)}%" title="outlined from here"></b>`;
        bar.append(legend);
      }
      const zoom = document.createElement("div");
      zoom.className = "views";
      zoom.setAttribute("role", "group");
      zoom.setAttribute("aria-label", "Zoom");
      for (const [title, label, action] of [
        ["−", "Smaller", () => this.scale(1 / 1.5)],
        ["Fit", "Fit the image", () => this.scale(0)],
        ["+", "Larger", () => this.scale(1.5)],
      ]) {
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = title;
        button.setAttribute("aria-label", label);
        button.addEventListener("click", action);
        zoom.append(button);
      }
      this.shadowRoot.querySelector(".box").append(zoom);
    }

    slider(title, low, high, start, told, back) {
      const label = document.createElement("label");
      label.className = "slider";
      const name = document.createElement("span"), input = document.createElement("input"), shown = document.createElement("output");
      name.textContent = title;
      Object.assign(input, { type: "range", min: low, max: high, value: start });
      shown.textContent = told(start);
      input.addEventListener("input", () => {
        shown.textContent = told(Number(input.value));
        this.draw();
      });
      if (back !== undefined) {
        input.title = "Double-click: the run's threshold";
        input.addEventListener("dblclick", () => {
          input.value = back;
          input.dispatchEvent(new Event("input"));
        });
      }
      label.append(name, input, shown);
      return label;
    }

    scale(factor) {
      const before = this.zoom, stage = this.stage;
      this.zoom = factor ? clamp(this.zoom * factor, 1, 16) : 1;
      const x = (stage.scrollLeft + stage.clientWidth / 2) / before, y = (stage.scrollTop + stage.clientHeight / 2) / before;
      this.canvas.style.width = `${this.zoom * 100}%`;
      this.canvas.style.maxHeight = this.zoom > 1 ? "none" : "";
      stage.classList.toggle("zoomed", this.zoom > 1);
      stage.scrollTo(x * this.zoom - stage.clientWidth / 2, y * this.zoom - stage.clientHeight / 2);
    }

    moving() {
      const stage = this.stage;
      let from = null;
      stage.addEventListener("wheel", (event) => {
        if (!event.ctrlKey && !event.metaKey && this.zoom === 1) return;
        event.preventDefault();
        this.scale(event.deltaY < 0 ? 1.25 : 0.8);
      }, { passive: false });
      stage.addEventListener("dblclick", () => this.scale(this.zoom > 1 ? 0 : 3));
      stage.addEventListener("pointerdown", (event) => {
        if (this.zoom === 1 || event.pointerType === "touch") return;
        from = [event.clientX + stage.scrollLeft, event.clientY + stage.scrollTop];
        stage.setPointerCapture(event.pointerId);
      });
      stage.addEventListener("pointermove", (event) => from && stage.scrollTo(from[0] - event.clientX, from[1] - event.clientY));
      stage.addEventListener("pointerup", () => (from = null));
      stage.addEventListener("keydown", (event) => {
        if (event.key === "+" || event.key === "=") this.scale(1.5);
        else if (event.key === "-") this.scale(1 / 1.5);
        else if (event.key === "0") this.scale(0);
      });
    }

    draw() {
      if (!this.image) return;
      const { width, height } = this.canvas, pen = this.canvas.getContext("2d");
      const source = this.view === "reconstruction" ? this.rebuilt : this.image;
      const shown = new ImageData(new Uint8ClampedArray(source.data), width, height);
      if (this.view === "heat") {
        const data = shown.data, values = this.values, span = this.high - this.low;
        for (let i = 0; i < values.length; i++) {
          const unit = clamp((values[i] - this.low) / span, 0, 1);
          const cover = this.opacity * Math.min(0.6, 1.2 * unit), colour = 3 * Math.round(unit * 255);
          for (let c = 0; c < 3; c++) data[4 * i + c] = data[4 * i + c] * (1 - cover) + lut[colour + c] * cover;
        }
        if (Number.isFinite(this.threshold)) this.outline(data, width, height);
      }
      pen.putImageData(shown, 0, 0);
    }

    outline(data, width, height) {
      const values = this.values, limit = this.threshold, reach = Math.max(1, Math.round(Math.max(width, height) / 500));
      // A dark rim outside the white line: it is else lost on bright parts.
      for (let y = reach; y < height - reach; y++) {
        for (let x = reach; x < width - reach; x++) {
          const i = y * width + x;
          if (values[i] > limit) continue;
          if (values[i - reach] > limit || values[i + reach] > limit || values[i - reach * width] > limit ||
            values[i + reach * width] > limit) data.fill(20, 4 * i, 4 * i + 3);
        }
      }
      for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) {
          const i = y * width + x;
          if (values[i] <= limit) continue;
          if (
            (x >= reach && values[i - reach] <= limit) || (x + reach < width && values[i + reach] <= limit) ||
            (y >= reach && values[i - reach * width] <= limit) || (y + reach < height && values[i + reach * width] <= limit)
          ) data.fill(255, 4 * i, 4 * i + 3);
        }
      }
    }
  }

  window.adkit = {
    // The address names what is chosen, and the open tab: a page that is loaded again, or a link, shows them.
    address(search = location.search, hash = location.hash) {
      history.replaceState(null, "", location.pathname + search + hash);
    },
    // What was asked for is brought into sight where it is below.
    show(id) {
      const box = document.getElementById(id), top = box?.getBoundingClientRect().top;
      if (top < 0 || top > window.innerHeight * 0.6) box.scrollIntoView({ behavior: "smooth", block: "start" });
    },
  };

  document.addEventListener("click", (event) => {
    const tab = event.target.closest("[role=tab]");
    if (tab) window.adkit.address(undefined, `#${tab.textContent.trim().toLowerCase()}`);
    const sent = Object.entries(JSON.parse(event.target.closest("[data-send]")?.dataset.send ?? "{}"))[0];
    const opens = { run: ["run", "results"], results: ["run", "results"], report: ["run", "results"],
      comparison: ["comparison", "results"], inspect: ["run", "inspect"] }[sent?.[0]];
    if (opens) window.adkit.address(`?${opens[0]}=${encodeURIComponent(sent[1])}`, `#${opens[1]}`);
  });
  const wanted = location.hash.slice(1) || (location.search.startsWith("?comparison=") ? "results" : "");
  const opening = setInterval(() => {
    const tabs = [...document.querySelectorAll("[role=tab]")];
    if (!wanted || tabs.length) clearInterval(opening);
    tabs.find((tab) => tab.textContent.trim().toLowerCase() === wanted)?.click();
  }, 100);

  // The address in the help is the one that this page has.
  new MutationObserver(() => {
    for (const place of document.querySelectorAll("[data-address]")) {
      const here = (location.origin + location.pathname).replace(/\/$/, "");
      if (place.textContent !== here) place.textContent = here;
    }
  }).observe(document.documentElement, { childList: true, subtree: true });

  // Rows or cards below [data-list], sorted by a data- attribute of theirs.
  const sort = (list, key, descending) => {
    const value = (node) => {
      const text = node.dataset[key] ?? "", number = parseFloat(text);
      return text !== "" && !Number.isNaN(Number(text)) ? number : text;
    };
    const compare = (a, b) => {
      const x = value(a), y = value(b);
      if (x === "" || y === "") return (x === "") - (y === "");
      const order = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y), undefined, { numeric: true });
      return descending ? -order : order;
    };
    [...list.children].sort(compare).forEach((node) => list.append(node));
  };

  document.addEventListener("change", (event) => {
    const select = event.target.closest("[data-sort-list]");
    if (!select) return;
    const [key, order] = select.value.split(" ");
    sort(select.closest("[data-sorting]").querySelector("[data-list]"), key, order === "down");
  });

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-sort-key]");
    if (!button) return;
    const head = button.closest("th"), down = head.getAttribute("aria-sort") !== "descending";
    for (const other of head.parentElement.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    sort(button.closest("table").querySelector("[data-list]"), button.dataset.sortKey, down);
  });

  document.addEventListener("click", (event) => {
    const chosen = event.target.closest("[aria-current][data-send]");
    if (!chosen) return;
    for (const other of chosen.parentElement.children) other.setAttribute("aria-current", String(other === chosen));
  });

  // A place in a video: an event in the table, or a point of the timeline.
  document.addEventListener("click", (event) => {
    const box = event.target.closest(".ak-watched"), player = box?.querySelector("video");
    if (!player) return;
    const row = event.target.closest("[data-seek]"), line = event.target.closest(".ak-timeline");
    if (row) player.currentTime = Number(row.dataset.seek);
    else if (line) {
      const place = line.getBoundingClientRect();
      player.currentTime = ((event.clientX - place.left) / place.width) * Number(line.dataset.seconds);
    }
  });

  document.addEventListener("timeupdate", (event) => {
    const line = event.target.closest?.(".ak-watched")?.querySelector(".ak-timeline");
    if (line) line.querySelector("i").style.left = `${(100 * event.target.currentTime) / Number(line.dataset.seconds)}%`;
  }, true);

  // The camera's image goes the way of every other file: into the box for images.
  class Camera extends HTMLElement {
    connectedCallback() {
      if (this.built) return;
      this.built = true;
      this.innerHTML = `<button type="button" class="ak-button">Use the camera</button><div class="ak-camera" hidden>
        <video playsinline muted></video><div class="ak-views"><button type="button">Capture the image</button>
        <button type="button">Close</button></div></div><p class="ak-faint" role="status"></p>`;
      const [open, take, close] = this.querySelectorAll("button");
      this.video = this.querySelector("video");
      open.addEventListener("click", () => this.open());
      take.addEventListener("click", () => this.take());
      close.addEventListener("click", () => this.close());
    }

    disconnectedCallback() {
      this.close();
    }

    async open() {
      const note = this.querySelector("p");
      try {
        this.video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
        await this.video.play();
        this.querySelector(".ak-camera").hidden = false;
        note.textContent = "";
      } catch (error) {
        note.textContent = window.isSecureContext
          ? "There is no camera, or the browser may not use it."
          : "Browsers use the camera on 127.0.0.1 and over https only.";
      }
    }

    close() {
      for (const track of this.video?.srcObject?.getTracks() ?? []) track.stop();
      const box = this.querySelector(".ak-camera");
      if (box) box.hidden = true;
    }

    take() {
      const canvas = document.createElement("canvas");
      canvas.width = this.video.videoWidth;
      canvas.height = this.video.videoHeight;
      canvas.getContext("2d").drawImage(this.video, 0, 0);
      this.close();
      canvas.toBlob((blob) => {
        const input = document.querySelector(`#${this.getAttribute("for")} input[type=file]`);
        if (!blob || !input) return;
        const transfer = new DataTransfer();
        transfer.items.add(new File([blob], "camera.png", { type: "image/png" }));
        input.files = transfer.files;
        input.dispatchEvent(new Event("change", { bubbles: true }));
      }, "image/png");
    }
  }

  customElements.define("adkit-viewer", Viewer);
  customElements.define("adkit-camera", Camera);
})();
