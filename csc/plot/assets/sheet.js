// A sheet of many pictures, of which one is chosen: by a click, or by the arrow keys.

class Sheet {
  // n pictures of the sheet `name`; label(i) describes one; choose(i, seen) is called for the chosen
  // one, with `seen` if it is in view.
  // fill(box, i), if given, puts something else into the box of i than picture i. The boxes' ids begin
  // with the prefix.
  constructor({ n, name, zoom, title, label, choose, fill, prefix = "tile" }) {
    this.prefix = prefix;
    this.choose = choose;
    this.chosen = null;
    this.visible = [];
    this.tiles = Array.from({ length: n }, (_, i) => {
      const tile = make("div", {
        class: fill ? "box" : "tile",
        role: "option",
        id: `${prefix}-${i}`,
        "aria-label": label(i),
        "aria-selected": "false",
        title: label(i),
        "data-i": i,
      });
      if (fill) fill(tile, i);
      else place(tile, name, i);
      return tile;
    });
    this.element = make("div", {
      class: fill ? "sheet boxes" : `sheet sheet-${name}`,
      role: "listbox",
      tabindex: "0",
      "aria-label": title,
      on: {
        click: (event) => {
          const tile = event.target.closest("[data-i]");
          if (tile) this.choose(Number(tile.dataset.i), true);
        },
        keydown: (event) => this.key(event),
      },
    });
    if (!fill) this.element.style.setProperty("--zoom", zoom);
    this.order(this.tiles.map((_, i) => i));
  }

  // Show pictures in this order.
  order(indices) {
    this.element.replaceChildren(...indices.map((i) => this.tiles[i]));
    this.indices = indices;
    this.visible = indices.filter((i) => !this.tiles[i].hidden);
  }

  // Mark pictures (an array of booleans, or null for all); the others fade, or vanish with `only`.
  mark(marked, only) {
    this.tiles.forEach((tile, i) => {
      const out = marked !== null && !marked[i];
      tile.classList.toggle("faded", out && !only);
      tile.hidden = out && only;
    });
    this.visible = this.indices.filter((i) => !this.tiles[i].hidden);
  }

  select(i) {
    if (this.chosen !== null) this.tiles[this.chosen].setAttribute("aria-selected", "false");
    this.chosen = i;
    this.tiles[i].setAttribute("aria-selected", "true");
    this.element.setAttribute("aria-activedescendant", `${this.prefix}-${i}`);
  }

  deselect() {
    if (this.chosen !== null) this.tiles[this.chosen].setAttribute("aria-selected", "false");
    this.chosen = null;
    this.element.removeAttribute("aria-activedescendant");
  }

  // Bring the chosen picture into view, within the sheet only.
  reveal() {
    const tile = this.tiles[this.chosen];
    const [top, bottom] = [tile.offsetTop, tile.offsetTop + tile.offsetHeight];
    const box = this.element;
    if (top < box.scrollTop) box.scrollTop = top - 4;
    else if (bottom > box.scrollTop + box.clientHeight)
      box.scrollTop = bottom - box.clientHeight + 4;
  }

  // Use another sheet for the same pictures, `rows` further down.
  source(name, rows = 0) {
    this.element.className = `sheet sheet-${name}`;
    this.element.style.setProperty("--down", rows);
  }

  columns() {
    return getComputedStyle(this.element).gridTemplateColumns.split(" ").length;
  }

  key(event) {
    const at = this.visible.indexOf(this.chosen);
    const last = this.visible.length - 1;
    const moves = {
      ArrowRight: () => at + 1,
      ArrowLeft: () => at - 1,
      ArrowDown: () => at + this.columns(),
      ArrowUp: () => at - this.columns(),
      PageDown: () => at + 5 * this.columns(),
      PageUp: () => at - 5 * this.columns(),
      Home: () => 0,
      End: () => last,
    };
    const move = moves[event.key];
    if (!move || event.ctrlKey || event.altKey || event.metaKey || last < 0) return;
    event.preventDefault();
    this.choose(this.visible[Math.min(last, Math.max(0, move()))]);
  }
}
