// A figure gives way to the playground with its text.
document.addEventListener("click", (event) => {
  const link = event.target.closest(".arch-open");
  if (!link || event.ctrlKey || event.metaKey || event.button) return;
  event.preventDefault();
  const frame = document.createElement("iframe");
  frame.src = link.href;
  frame.title = "Playground";
  link.parentElement.replaceChildren(frame);
  frame.focus();
});
