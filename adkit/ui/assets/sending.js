element.addEventListener("click", (event) => {
  const sender = event.target.closest("[data-send]");
  if (sender) trigger("click", JSON.parse(sender.dataset.send));
});
element.addEventListener("focusin", (event) => { element.dataset.last = event.target.dataset?.send ?? ""; });
watch("value", () => {
  if (document.activeElement !== document.body || !element.dataset.last) return;
  const same = [...element.querySelectorAll("[data-send]")].find((one) => one.dataset.send === element.dataset.last);
  same?.focus({ preventScroll: true });
});
