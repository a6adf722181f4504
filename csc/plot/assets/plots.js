// Plots: axes in SVG, which print sharply, and points on a canvas, which redraws quickly.
// A drag marks a range, reported as {column: [low, high]}; a click chooses the nearest point.

const WIDTH = 420;
const NEAR = 12; // a click this close to a point chooses it; a drag is longer than half of it

class Plot {
  constructor({ name, height, label, help, brush, choose }) {
    this.height = height;
    this.brush = brush;
    this.choose = choose;
    this.axes = make("svg", {
      viewBox: `0 0 ${WIDTH} ${height}`,
      role: "img",
      "aria-label": label,
    });
    this.canvas = make("canvas", { "aria-hidden": "true" });
    this.over = make("svg", {
      viewBox: `0 0 ${WIDTH} ${height}`,
      class: "over",
      "aria-hidden": "true",
    });
    this.area = make(
      "div",
      { class: "plot-area", style: `aspect-ratio: ${WIDTH} / ${height}` },
      this.axes,
      this.canvas,
      this.over,
    );
    this.element = make(
      "figure",
      { class: "plot", id: name },
      make("h3", {}, label),
      this.area,
      help ? make("figcaption", {}, help) : null,
    );
    this.framed = make("g", {});
    this.rings = make("g", {});
    this.over.append(this.framed, this.rings);
    if (brush) this.listen();
    new ResizeObserver(() => this.paint()).observe(this.canvas);
    onColours(() => this.paint());
  }

  text(x, y, words, attributes = {}) {
    this.axes.append(make("text", { x, y, ...attributes }, words));
  }

  // The name of an axis: "n_y, length" has a subscript.
  axis(x, y, words, turned = false) {
    const [, stem, below, rest] = /^(?:(\w)_(\w))?(.*)$/.exec(words);
    const parts = stem
      ? [
          make("tspan", { class: "letter" }, stem),
          make("tspan", { dy: 3, class: "letter below" }, below),
          make("tspan", { dy: -3 }, rest),
        ]
      : [rest];
    const transform = `translate(${x} ${y})${turned ? " rotate(-90)" : ""}`;
    this.axes.append(make("text", { transform, "text-anchor": "middle", class: "axis" }, parts));
  }

  // Draw the points again, in the present colours and size.
  paint() {
    if (!this.points || !this.canvas.clientWidth) return;
    const scale = (this.canvas.clientWidth / WIDTH) * devicePixelRatio;
    [this.canvas.width, this.canvas.height] = [WIDTH * scale, this.height * scale];
    const context = this.canvas.getContext("2d");
    context.scale(scale, scale);
    this.points(context);
  }

  listen() {
    const at = (event) => {
      const box = this.over.getBoundingClientRect();
      const scale = WIDTH / box.width;
      return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
    };
    let start = null;
    let dragged = false;
    this.over.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      start = at(event);
      dragged = false;
      this.over.setPointerCapture(event.pointerId);
      event.preventDefault();
    });
    this.over.addEventListener("pointermove", (event) => {
      if (!start) return;
      const now = at(event);
      dragged = dragged || Math.hypot(now[0] - start[0], now[1] - start[1]) > NEAR / 2;
      if (dragged) this.brush(this.range(start, now));
    });
    this.over.addEventListener("pointerup", (event) => {
      if (start && !dragged) this.click(at(event));
      start = null;
    });
    this.over.addEventListener("pointercancel", () => (start = null));
  }

  click([x, y]) {
    let [nearest, distance] = [null, NEAR];
    this.places.forEach((place, i) => {
      if (!place) return;
      const d = Math.hypot(place[0] - x, place[1] - y);
      if (d < distance) [nearest, distance] = [i, d];
    });
    if (nearest !== null) this.choose(nearest);
    else this.brush(null);
  }

  // Show a range, {column: [low, high]}; null for none.
  frame(ranges) {
    const path = ranges && this.outline(ranges);
    this.framed.replaceChildren(...(path ? [make("path", { d: path, class: "brush" })] : []));
  }

  // Put rings around places: the chosen ones. The points need not be drawn again for that.
  ring(...places) {
    const circle = ([cx, cy], of) => make("circle", { cx, cy, r: 7, class: of });
    this.rings.replaceChildren(
      ...places.filter(Boolean).flatMap((place) => [circle(place, "halo"), circle(place, "ring")]),
    );
  }

  // Draw points, the marked ones over the others.
  atoms(context, marked, places = this.places, draw = dot, ink = "atoms") {
    context.fillStyle = context.strokeStyle = colour(ink);
    context.lineWidth = 1.4;
    const some = (wanted, alpha, radius) => {
      context.globalAlpha = alpha;
      context.beginPath();
      places.forEach((place, i) => {
        if (place && (marked === null || marked[i]) === wanted)
          draw.trace(context, ...place, radius);
      });
      draw.finish(context);
    };
    some(false, 0.18, 2.2);
    some(true, 0.8, 3);
    context.globalAlpha = 1;
  }
}

// Marks of points, which differ in shape, not only in colour.
const dot = {
  trace: (context, x, y, radius) => {
    context.moveTo(x + radius, y);
    context.arc(x, y, radius, 0, 7);
  },
  finish: (context) => context.fill(),
};
const square = {
  trace: (context, x, y, radius) => context.rect(x - radius, y - radius, 2 * radius, 2 * radius),
  finish: (context) => context.stroke(),
};

// Crosses of a null model: they differ from atoms in shape, not only in colour.
function crosses(context, places) {
  context.strokeStyle = colour("null");
  context.globalAlpha = 0.55;
  context.lineWidth = 1.2;
  context.beginPath();
  for (const place of places) {
    if (!place) continue;
    const [x, y] = place;
    context.moveTo(x - 2.5, y - 2.5);
    context.lineTo(x + 2.5, y + 2.5);
    context.moveTo(x - 2.5, y + 2.5);
    context.lineTo(x + 2.5, y - 2.5);
  }
  context.stroke();
  context.globalAlpha = 1;
}

// (n_x, n_y) on logarithmic axes, over the counts of macaque cells.
class Shapes extends Plot {
  constructor(options) {
    super({ height: 372, ...options });
    const box = { left: 46, top: 8, size: 318 };
    const [low, high] = [Math.log(0.05), Math.log(3)];
    const clip = (value) => Math.min(high, Math.max(low, Math.log(Math.max(value, 1e-9))));
    this.x = (value) => box.left + (box.size * (clip(value) - low)) / (high - low);
    this.y = (value) => box.top + box.size - (box.size * (clip(value) - low)) / (high - low);
    this.inverse = (pixel, from) =>
      Math.exp(low + (Math.min(box.size, Math.max(0, pixel - from)) / box.size) * (high - low));
    this.box = box;
    this.axes.append(
      make("rect", { x: box.left, y: box.top, width: box.size, height: box.size, class: "ground" }),
    );
    if (options.macaque) this.cells(options.macaque);
    for (const tick of [0.1, 0.3, 1, 3]) {
      this.text(this.x(tick), box.top + box.size + 16, tick, { "text-anchor": "middle" });
      this.text(box.left - 7, this.y(tick) + 4, tick, { "text-anchor": "end" });
    }
    this.axis(box.left + box.size / 2, box.top + box.size + 36, "n_y, length along the bars");
    this.axis(13, box.top + box.size / 2, "n_x, width across the bars", true);
  }

  cells({ counts, edges }) {
    const top = Math.max(...counts.flat());
    counts.forEach((row, i) =>
      row.forEach((count, j) => {
        const [x, y] = [this.x(edges[j]), this.y(edges[i + 1])];
        const [w, h] = [this.x(edges[j + 1]) - x, this.y(edges[i]) - y];
        this.axes.append(
          make("rect", {
            x,
            y,
            width: w,
            height: h,
            class: "cell",
            "fill-opacity": (0.5 * count) / top,
          }),
        );
        if (count) this.text(x + w - 4, y + 12, count, { class: "count", "text-anchor": "end" });
      }),
    );
  }

  place(n_x, n_y) {
    return [this.x(n_y), this.y(n_x)];
  }

  range([x0, y0], [x1, y1]) {
    const { left, top, size } = this.box;
    const sorted = (a, b) => (a < b ? [a, b] : [b, a]);
    const up = (y) => this.inverse(top + size - y, 0);
    return {
      n_y: sorted(this.inverse(x0, left), this.inverse(x1, left)),
      n_x: sorted(up(y0), up(y1)),
    };
  }

  outline({ n_x, n_y }) {
    if (!n_x && !n_y) return null;
    const [x0, x1] = (n_y || [0, 9]).map(this.x);
    const [y1, y0] = (n_x || [0, 9]).map(this.y);
    return `M${x0} ${y0}H${x1}V${y1}H${x0}Z`;
  }
}

// Orientation of the bars as the angle, frequency as the radius, on half a disc.
class Waves extends Plot {
  constructor(options) {
    super({ height: 262, ...options });
    [this.cx, this.cy, this.radius] = [WIDTH / 2, 222, 176];
    const disc = (r) => `M${this.cx - r} ${this.cy}A${r} ${r} 0 0 1 ${this.cx + r} ${this.cy}Z`;
    this.axes.append(make("path", { d: disc(this.radius), class: "ground" }));
    for (const f of [0.125, 0.25, 0.375]) {
      this.axes.append(make("path", { d: disc(2 * f * this.radius), class: "grid" }));
      this.text(this.cx + 2 * f * this.radius, this.cy + 15, f, { "text-anchor": "middle" });
    }
    this.text(this.cx + this.radius, this.cy + 15, "0.5", { "text-anchor": "middle" });
    this.axis(this.cx, this.cy + 36, "cycles per pixel; the bars at the rim show the orientation");
    for (const degrees of [0, 45, 90, 135, 180]) {
      const angle = (degrees * Math.PI) / 180;
      const [x, y] = [
        this.cx + (this.radius + 16) * Math.cos(angle),
        this.cy - (this.radius + 16) * Math.sin(angle),
      ];
      const [dx, dy] = [8 * Math.cos(angle), -8 * Math.sin(angle)];
      this.axes.append(
        make("line", { x1: x - dx, y1: y - dy, x2: x + dx, y2: y + dy, class: "bar" }),
      );
    }
  }

  place(orientation, frequency) {
    const r = this.radius * Math.min(1, 2 * frequency);
    return [this.cx + r * Math.cos(orientation), this.cy - r * Math.sin(orientation)];
  }

  polar([x, y]) {
    const [dx, dy] = [x - this.cx, Math.max(0, this.cy - y)];
    return [
      (Math.atan2(dy, dx) * 180) / Math.PI,
      Math.min(0.5, Math.hypot(dx, dy) / this.radius / 2),
    ];
  }

  range(start, now) {
    const [a, b] = [this.polar(start), this.polar(now)];
    const sorted = (p, q) => (p < q ? [p, q] : [q, p]);
    return { orientation: sorted(a[0], b[0]), frequency: sorted(a[1], b[1]) };
  }

  outline({ orientation, frequency }) {
    if (!orientation && !frequency) return null;
    const [[a0, a1], [f0, f1]] = [orientation || [0, 180], frequency || [0, 0.5]];
    const at = (degrees, f) => this.place((degrees * Math.PI) / 180, f).join(" ");
    const [r0, r1] = [f0, f1].map((f) => 2 * Math.min(f, 0.5) * this.radius);
    return `M${at(a0, f0)}L${at(a0, f1)}A${r1} ${r1} 0 0 0 ${at(a1, f1)}L${at(a1, f0)}A${r0} ${r0} 0 0 1 ${at(a0, f0)}Z`;
  }
}

// The share of a population whose R² reaches each level, one line per population.
class Quality extends Plot {
  constructor(options) {
    super({ height: 236, ...options });
    this.box = { left: 46, top: 10, width: 362, height: 180 };
    const { left, top, width, height } = this.box;
    this.x = (value) => left + width * Math.min(1, Math.max(0, value));
    this.y = (share) => top + height * (1 - share);
    this.axes.append(make("rect", { x: left, y: top, width, height, class: "ground" }));
    for (const tick of [0, 0.2, 0.4, 0.6, 0.8, 1])
      this.text(this.x(tick), top + height + 16, tick, { "text-anchor": "middle" });
    for (const tick of [0, 0.5, 1])
      this.text(left - 7, this.y(tick) + 4, `${100 * tick} %`, { "text-anchor": "end" });
    this.axes.append(
      make("line", { x1: this.x(0.8), x2: this.x(0.8), y1: top, y2: top + height, class: "grid" }),
    );
    this.axis(left + width / 2, top + height + 36, "R² of the Gabor fit");
    for (const { values, style } of options.lines) {
      const sorted = [...values].map((v) => v ?? 0).sort((a, b) => a - b);
      const steps = sorted.map((value, k) => {
        const [before, after] = [1 - k / sorted.length, 1 - (k + 1) / sorted.length];
        return `${this.x(value)} ${this.y(before)} ${this.x(value)} ${this.y(after)}`;
      });
      this.axes.append(
        make("polyline", {
          points: `${this.x(0)} ${this.y(1)} ${steps.join(" ")}`,
          class: `curve ${style}`,
        }),
      );
    }
    this.places = [];
  }

  range([x0], [x1]) {
    const level = (x) => Math.min(1, Math.max(0, (x - this.box.left) / this.box.width));
    const [a, b] = [level(x0), level(x1)];
    return { r2: a < b ? [a, b] : [b, a] };
  }

  outline({ r2 }) {
    if (!r2) return null;
    const { top, height } = this.box;
    return `M${this.x(r2[0])} ${top}H${this.x(r2[1])}V${top + height}H${this.x(r2[0])}Z`;
  }

  // A line where the chosen atom is.
  show(value) {
    this.marker = this.marker || this.axes.appendChild(make("line", { class: "marker" }));
    const { top, height } = this.box;
    for (const [key, at] of Object.entries({
      x1: this.x(value),
      x2: this.x(value),
      y1: top,
      y2: top + height,
    }))
      this.marker.setAttribute(key, at);
  }
}

// Values with intervals on one axis: rows of {name, value, interval, style}, and `chance`, the interval
// by chance; others = [{value, style}] are further marks of a row.
class Strip extends Plot {
  constructor({ rows, unit, left = 150, ...options }) {
    super({ height: 34 * rows.length + 46, ...options });
    const known = rows
      .flatMap(({ value, interval, chance, others }) => [
        value,
        ...(interval || []),
        ...(chance || []),
        ...(others || []).map((o) => o.value),
      ])
      .filter(Number.isFinite);
    const low = Math.min(0, ...known);
    const top = Math.max(0.5, 1.1 * Math.max(0, ...known));
    const right = WIDTH - 14;
    this.x = (value) => left + ((right - left) * (value - low)) / (top - low);
    const bottom = 34 * rows.length + 8;
    this.axes.append(make("line", { x1: left, x2: right, y1: bottom, y2: bottom, class: "grid" }));
    this.axes.append(
      make("line", { x1: this.x(0), x2: this.x(0), y1: 6, y2: bottom, class: "grid" }),
    );
    const step = top - low > 1.2 ? 0.5 : 0.25;
    for (let tick = 0; tick <= top; tick += step) {
      this.text(this.x(tick), bottom + 16, shown(tick, step === 0.5 ? 1 : 2), {
        "text-anchor": "middle",
      });
    }
    this.axis((left + right) / 2, bottom + 35, unit);
    rows.forEach((row, k) => this.row(row, 34 * k + 22, left));
  }

  row({ name, value, interval, chance, style, others = [] }, y, left) {
    this.text(left - 12, y + 4, name, { "text-anchor": "end", class: "name" });
    if (!Number.isFinite(value)) return this.text(left, y + 4, "–");
    const line = ([a, b], of) =>
      this.axes.append(make("line", { x1: this.x(a), x2: this.x(b), y1: y, y2: y, class: of }));
    if (chance && chance.every(Number.isFinite)) line(chance, "chance");
    if (interval && interval.every(Number.isFinite)) line(interval, `span ${style}`);
    for (const mark of [...others, { value, style }]) this.mark(mark, y);
    this.text(this.x(value), y - 9, shown(value), { "text-anchor": "middle", class: "value" });
  }

  mark({ value, style }, y) {
    if (!Number.isFinite(value)) return;
    const x = this.x(value);
    const marks = {
      null: `M${x - 5} ${y - 5}L${x + 5} ${y + 5}M${x - 5} ${y + 5}L${x + 5} ${y - 5}`,
      macaque: `M${x} ${y - 7}V${y + 7}`,
    };
    if (marks[style]) this.axes.append(make("path", { d: marks[style], class: `mark ${style}` }));
    else this.axes.append(make("circle", { cx: x, cy: y, r: 5, class: `dot ${style}` }));
  }
}
