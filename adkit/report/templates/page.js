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
    const show = () => button.setAttribute("aria-pressed", String(dark()));
    button.addEventListener("click", () => {
      root.dataset.theme = dark() ? "light" : "dark";
      remember(root.dataset.theme);
      show();
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
    show();
  }

  function moveLine(group, x) {
    const right = Number(group.dataset.right);
    const rectangle = group.querySelector("rect"), line = group.querySelector("line");
    rectangle.setAttribute("x", x);
    rectangle.setAttribute("width", Math.max(0, right - x));
    line.setAttribute("x1", x);
    line.setAttribute("x2", x);
    group.querySelector("text").setAttribute("x", x);
  }

  function setUpSlider() {
    const slider = document.getElementById("slider");
    if (!slider) return;
    const steps = JSON.parse(document.getElementById("steps").textContent);
    const groups = document.querySelectorAll(".moving");
    const own = slider.defaultValue;
    function show() {
      const step = steps[Number(slider.value)];
      groups.forEach((group, number) => moveLine(group, step.x[number]));
      document.querySelectorAll("[data-show]").forEach((place) => { place.textContent = step[place.dataset.show]; });
      slider.setAttribute("aria-valuetext", step.spoken);
    }
    slider.addEventListener("input", show);
    document.getElementById("own").addEventListener("click", () => { slider.value = own; show(); });
    slider.value = own; // a browser may remember another
    show();
  }

  const theme = remembered();
  if (theme === "dark" || theme === "light") root.dataset.theme = theme;
  document.addEventListener("DOMContentLoaded", () => { setUpTheme(); setUpSlider(); });
})();
