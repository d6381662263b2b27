"use strict";
// A slider shows the strips of one snapshot; without a script all of them are there.
for (const strips of document.querySelectorAll(".strips")) {
  const moments = strips.querySelectorAll(".moment");
  if (moments.length < 2) continue;
  const choice = document.createElement("label");
  choice.className = "choice";
  const text = document.createElement("output");
  const slider = document.createElement("input");
  slider.type = "range";
  slider.min = 1;
  slider.max = moments.length;
  slider.value = moments.length;
  slider.setAttribute("aria-label", "snapshot");
  const show = () => {
    moments.forEach((moment, i) => moment.classList.toggle("now", i + 1 === +slider.value));
    text.textContent = `snapshot ${slider.value} of ${moments.length}`;
  };
  slider.addEventListener("input", show);
  choice.append(slider, text);
  strips.querySelector(".key").after(choice);
  strips.classList.add("chosen");
  show();
}
// On paper nothing can be unfolded.
addEventListener("beforeprint", () => {
  for (const one of document.querySelectorAll("details:not([open])")) {
    one.open = true;
    one.dataset.folded = "";
  }
});
addEventListener("afterprint", () => {
  for (const one of document.querySelectorAll("details[data-folded]")) one.open = false;
});
