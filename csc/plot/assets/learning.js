// The course of learning: curves over passes, and a slider that sets the pass.

const CURVE = { width: 300, height: 84, left: 4, right: 296, top: 20, bottom: 66 };

// A curve of values at the given passes; show(k) marks point k.
function curve(name, at, values, unit) {
  const known = values.filter(Number.isFinite);
  const [low, high] = [Math.min(...known), Math.max(...known)];
  const [first, last] = [at[0], at[at.length - 1]];
  const x = (k) =>
    CURVE.left + ((CURVE.right - CURVE.left) * (at[k] - first)) / (last - first || 1);
  const y = (value) =>
    CURVE.bottom - ((CURVE.bottom - CURVE.top) * (value - low)) / (high - low || 1);
  const line = values.map((value, k) => `${x(k)} ${y(value)}`).join(" ");
  const now = make("circle", { r: 4, class: "dot atoms" });
  const rule = make("line", { y1: CURVE.top - 6, y2: CURVE.bottom + 6, class: "marker" });
  const reading = make("output", {});
  const svg = make(
    "svg",
    {
      viewBox: `0 0 ${CURVE.width} ${CURVE.height}`,
      role: "img",
      "aria-label": `${name}: from ${significant(values[0])} to ${significant(values[values.length - 1])}`,
    },
    make("polyline", { points: line, class: "curve atoms" }),
    rule,
    now,
    make("text", { x: CURVE.left, y: CURVE.height - 3 }, `${unit} ${first}`),
    make("text", { x: CURVE.right, y: CURVE.height - 3, "text-anchor": "end" }, `${unit} ${last}`),
  );
  const show = (k) => {
    rule.setAttribute("x1", x(k));
    rule.setAttribute("x2", x(k));
    now.setAttribute("cx", x(k));
    now.setAttribute("cy", y(values[k]));
    reading.textContent = significant(values[k]);
  };
  show(values.length - 1);
  return {
    element: make(
      "figure",
      { class: "curve-box" },
      make("figcaption", {}, `${name} `, reading),
      svg,
    ),
    show,
  };
}

// The panel: history {unit, at, objective, codes} and passes {at, of}, either may be missing.
function learningPanel(history, passes, choose) {
  const stops = passes ? passes.at : history.at;
  const unit = passes ? "pass" : history.unit;
  const curves = history
    ? [
        curve("objective per signal", history.at, history.objective, history.unit),
        curve("codes per signal", history.at, history.codes, history.unit),
      ]
    : [];
  const slider = make("input", {
    type: "range",
    min: 0,
    max: stops.length - 1,
    value: stops.length - 1,
    id: "pass",
  });
  const reading = make("output", { for: "pass", id: "pass-now" });
  const nearest = (stop) => {
    const wanted =
      unit === history.unit ? stop : (stop / passes.of) * history.at[history.at.length - 1];
    const distances = history.at.map((at) => Math.abs(at - wanted));
    return distances.indexOf(Math.min(...distances));
  };
  const show = () => {
    const k = Number(slider.value);
    reading.textContent = `${unit} ${stops[k]} of ${stops[stops.length - 1]}`;
    slider.setAttribute("aria-valuetext", reading.textContent);
    for (const { show } of curves) show(nearest(stops[k]));
    choose(k, k === stops.length - 1);
  };
  let timer = null;
  const play = make("button", { type: "button", id: "play" }, "Play");
  const stop = () => {
    clearInterval(timer);
    timer = null;
    play.textContent = "Play";
  };
  play.addEventListener("click", () => {
    if (timer) return stop();
    if (Number(slider.value) === stops.length - 1) slider.value = 0;
    show();
    play.textContent = "Stop";
    timer = setInterval(() => {
      slider.value = Number(slider.value) + 1;
      show();
      if (Number(slider.value) === stops.length - 1) stop();
    }, 600);
  });
  slider.addEventListener("input", () => {
    stop();
    show();
  });
  show();
  return make(
    "section",
    { class: "panel learning", "aria-label": "Learning" },
    make(
      "div",
      { class: "learning-steer" },
      make("h2", {}, "Learning"),
      make("label", { for: "pass" }, passes ? "The atoms after " : "After ", reading),
      make("div", { class: "row" }, play, slider),
    ),
    curves.map(({ element }) => element),
  );
}
