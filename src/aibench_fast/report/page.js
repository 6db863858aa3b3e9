// Draws the plots in the theme that the system asks for, again when it changes, and what is chosen.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("report-data").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const chosen = {};
  let drawn = [];

  function choicesOf(spec) {
    return (spec.params || []).map((param) => param.name);
  }

  async function draw() {
    const theme = dark.matches ? "dark" : "light";
    const old = drawn;
    drawn = [];
    old.forEach((one) => one.finalize());
    for (const [name, spec] of Object.entries(data.charts)) {
      const params = (spec.params || []).map((param) => ({
        ...param,
        value: chosen[param.name] ?? param.value,
      }));
      const result = await vegaEmbed(document.getElementById(name), { ...spec, params }, {
        actions: false,
        config: data.themes[theme],
        mode: "vega-lite",
        renderer: "svg",
        tooltip: { theme },
      });
      drawn.push(result);
    }
    document.documentElement.dataset.drawn = theme;
  }

  for (const select of document.querySelectorAll("select[data-choice]")) {
    const name = select.dataset.choice;
    chosen[name] = Number(select.value);
    select.addEventListener("change", () => {
      chosen[name] = Number(select.value);
      for (const one of drawn) {
        if (choicesOf(one.spec).includes(name)) {
          one.view.signal(name, chosen[name]).runAsync();
        }
      }
    });
  }

  // One drawing at a time, in the order asked for.
  let last = draw();
  dark.addEventListener("change", () => { last = last.then(draw); });
})();
