(function () {
  "use strict";
  const root = document.documentElement;
  root.classList.add("js");

  function remembered() {
    try { return localStorage.getItem("adkit-theme"); } catch { return null; } // some browsers forbid it for files
  }

  function remember(theme) {
    try { localStorage.setItem("adkit-theme", theme); } catch { /* then it holds for this page only */ }
  }

  function dark() {
    return root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  }

  function setUpTheme() {
    const button = document.getElementById("theme");
    const show = () => { button.textContent = dark() ? "Light" : "Dark"; };
    button.addEventListener("click", () => {
      root.dataset.theme = dark() ? "light" : "dark";
      remember(root.dataset.theme);
      show();
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
    show();
  }

  function moveLine(group, x) {
    const rectangle = group.querySelector("rect"), line = group.querySelector("line");
    rectangle.setAttribute("x", x + "%");
    rectangle.setAttribute("width", 100 - x + "%");
    line.setAttribute("x1", x + "%");
    line.setAttribute("x2", x + "%");
    group.querySelector("text").setAttribute("x", x + "%");
  }

  const moves = []; // what else follows the slider, called with its step's number

  function setUpSlider() {
    const slider = document.getElementById("slider");
    if (!slider) return;
    const steps = JSON.parse(document.getElementById("steps").textContent);
    const line = document.querySelector(".moving");
    const own = slider.defaultValue;
    function show() {
      const step = steps[Number(slider.value)];
      moveLine(line, step.x);
      document.querySelectorAll("[data-show]").forEach((place) => { place.textContent = step[place.dataset.show]; });
      slider.setAttribute("aria-valuetext", step.spoken);
      moves.forEach((move) => move(Number(slider.value)));
    }
    slider.addEventListener("input", show);
    document.getElementById("own").addEventListener("click", () => { slider.value = own; show(); });
    slider.value = own; // a browser may remember another
    show();
  }

  function clock(time) {
    const tenths = Math.round(time * 10), minutes = Math.floor(tenths / 600);
    return minutes + ":" + ((tenths % 600) / 10).toFixed(1).padStart(4, "0");
  }

  function setUpTimeline(timeline) {
    const length = Number(timeline.dataset.length), playhead = timeline.querySelector(".playhead");
    const video = timeline.closest(".clip").querySelector("video"), start = video ? Number(video.dataset.start) : 0;
    let now = 0;
    timeline.tabIndex = 0;
    timeline.setAttribute("role", "slider");
    timeline.setAttribute("aria-valuemin", "0");
    timeline.setAttribute("aria-valuemax", String(length));

    function show(time) {
      now = Math.min(length, Math.max(0, time));
      const x = (1000 * now) / length;
      playhead.setAttribute("x1", x);
      playhead.setAttribute("x2", x);
      timeline.classList.add("at");
      timeline.setAttribute("aria-valuenow", now.toFixed(1));
      timeline.setAttribute("aria-valuetext", clock(now));
    }

    function jump(time) {
      show(time);
      if (video) video.currentTime = Math.max(0, now - start);
    }

    timeline.addEventListener("click", (event) => {
      const box = timeline.getBoundingClientRect();
      jump((length * (event.clientX - box.left)) / box.width);
    });
    timeline.addEventListener("keydown", (event) => {
      const steps = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: length };
      if (!(event.key in steps)) return;
      event.preventDefault();
      jump(steps[event.key]);
    });
    if (!video) return;
    function follow() {
      show(start + video.currentTime);
      if (!video.paused && !video.ended) requestAnimationFrame(follow);
    }
    video.addEventListener("play", follow);
    // Not after each click: a click beyond a video of a part would be answered by the video's end.
    video.addEventListener("timeupdate", () => { if (!video.paused) follow(); });
    video.addEventListener("seeking", () => { if (Math.abs(start + video.currentTime - now) < 1) show(start + video.currentTime); });
  }

  function setUpClips() {
    const timelines = document.querySelectorAll(".timeline");
    if (!timelines.length) return;
    const { limits, found } = JSON.parse(document.getElementById("found").textContent);
    timelines.forEach(setUpTimeline);
    moves.push((step) => timelines.forEach((timeline, number) => {
      const limit = timeline.querySelector(".limit");
      limit.setAttribute("y1", limits[step]);
      limit.setAttribute("y2", limits[step]);
      timeline.querySelector(".found").replaceChildren(...found[number][step].map(([x, width]) => {
        const block = document.createElementNS(timeline.querySelector("svg").namespaceURI, "rect");
        for (const [name, value] of Object.entries({ x, width, y: 94, height: 6 })) block.setAttribute(name, value);
        return block;
      }));
    }));
  }

  const theme = remembered();
  if (theme === "dark" || theme === "light") root.dataset.theme = theme;
  document.addEventListener("DOMContentLoaded", () => { setUpTheme(); setUpClips(); setUpSlider(); });
})();
