// The page of restorations: two pictures with a divider, the error of each, and their difference.

const { data } = page;
const DAMAGED = "damaged";
const TRUTH = "original";

function restorationPage(c) {
  const names = c.images.map(({ name }) => name);
  const image = Object.fromEntries(c.images.map((one) => [one.name, one]));
  const rated = c.images.filter(({ psnr }) => psnr !== null).sort((p, q) => q.psnr - p.psnr);
  const best = (rated.find(({ name }) => name !== DAMAGED) || c.images[1]).name;
  const [height, width] = [image[best].height, image[best].width];
  const state = {
    left: DAMAGED,
    right: best,
    against: c.has_truth ? TRUTH : DAMAGED,
    at: 50,
    gain: 4,
  };

  // ---- Two pictures and the divider

  const under = make("img", { alt: "", draggable: "false" });
  const over = make("img", { alt: "", draggable: "false", class: "upper" });
  const leftTag = make("span", { class: "corner left" });
  const rightTag = make("span", { class: "corner right" });
  const stage = make(
    "div",
    {
      class: "stage",
      role: "slider",
      tabindex: "0",
      "aria-label": "Divider between the two pictures, per cent from the left",
      "aria-valuemin": 0,
      "aria-valuemax": 100,
      id: "divider",
      on: {
        pointerdown: (event) => {
          stage.setPointerCapture(event.pointerId);
          divide(event);
        },
        pointermove: (event) => stage.hasPointerCapture(event.pointerId) && divide(event),
        keydown: (event) => {
          const steps = {
            ArrowLeft: -2,
            ArrowRight: 2,
            PageDown: -20,
            PageUp: 20,
            Home: -100,
            End: 100,
          };
          if (!(event.key in steps)) return;
          event.preventDefault();
          move(state.at + steps[event.key]);
        },
      },
    },
    under,
    over,
    make("span", { class: "divider", "aria-hidden": "true" }),
    leftTag,
    rightTag,
  );

  function divide(event) {
    const box = stage.getBoundingClientRect();
    move((100 * (event.clientX - box.left)) / box.width);
  }

  function move(at) {
    state.at = Math.min(100, Math.max(0, at));
    stage.style.setProperty("--at", `${state.at}%`);
    stage.setAttribute("aria-valuenow", Math.round(state.at));
    stage.setAttribute(
      "aria-valuetext",
      `${state.left} left of ${Math.round(state.at)} per cent, ${state.right} right of it`,
    );
  }

  function label(name) {
    const { psnr } = image[name];
    return psnr === null ? name : `${name}, ${shown(psnr)} dB`;
  }

  function show() {
    under.src = image[state.left].uri;
    over.src = image[state.right].uri;
    [under.alt, over.alt] = [`picture: ${label(state.left)}`, `picture: ${label(state.right)}`];
    [leftTag.textContent, rightTag.textContent] = [label(state.left), label(state.right)];
    [leftSelect.value, rightSelect.value, againstSelect.value] = [
      state.left,
      state.right,
      state.against,
    ];
    for (const row of table.querySelectorAll("tr[data-name]"))
      row.classList.toggle("now", row.dataset.name === state.right);
    move(state.at);
    difference();
  }

  const chooser = (side, id) =>
    make(
      "select",
      {
        id,
        on: {
          change: (event) => {
            state[side] = event.target.value;
            show();
          },
        },
      },
      names.map((name) => make("option", { value: name }, label(name))),
    );
  const leftSelect = chooser("left", "left");
  const rightSelect = chooser("right", "right");
  const swap = make(
    "button",
    {
      type: "button",
      id: "swap",
      on: {
        click: () => {
          [state.left, state.right] = [state.right, state.left];
          show();
        },
      },
    },
    "swap",
  );
  const zooms = segments(
    "Size of the pictures",
    { fit: "fit", x1: "1×", x2: "2×", x4: "4×" },
    "fit",
    (zoom) => {
      const fits = zoom === "fit";
      stage.style.width = fits ? "" : `${zoom.slice(1) * width}px`;
      stage.style.maxWidth = fits ? `calc(80vh * ${width / height})` : "none";
    },
  );
  stage.style.maxWidth = `calc(80vh * ${width / height})`;
  stage.style.aspectRatio = `${width} / ${height}`;

  // ---- The error of each

  const top = Math.max(...rated.map(({ psnr }) => psnr));
  const low = Math.min(...rated.map(({ psnr }) => psnr)) - 2;
  const table = make(
    "table",
    { class: "psnr" },
    make(
      "thead",
      {},
      make(
        "tr",
        {},
        make("th", { scope: "col" }, "method"),
        make("th", { scope: "col" }, "PSNR, dB"),
        make("td", {}),
      ),
    ),
    make(
      "tbody",
      {},
      rated.map(({ name, psnr }) => {
        const bar = make("span", { class: "score" });
        bar.style.setProperty("--score", Math.max(0.02, (psnr - low) / (top - low || 1)));
        const button = make(
          "button",
          {
            type: "button",
            class: "link",
            on: {
              click: () => {
                state.right = name;
                show();
              },
            },
          },
          name,
        );
        return make(
          "tr",
          { "data-name": name },
          make("th", { scope: "row" }, button),
          make("td", {}, shown(psnr)),
          make("td", { class: "bar-cell" }, bar),
        );
      }),
    ),
  );

  // ---- The difference

  const canvas = make("canvas", {
    role: "img",
    class: "difference",
    "aria-label": "difference of two pictures",
  });
  const words = make("figcaption", {});
  const againstSelect = make(
    "select",
    {
      id: "against",
      on: {
        change: () => {
          state.against = againstSelect.value;
          difference();
        },
      },
    },
    names
      .filter((name) => image[name].width === width)
      .map((name) => make("option", { value: name }, name)),
  );
  const gain = make("input", {
    type: "range",
    id: "gain",
    min: 1,
    max: 16,
    step: 1,
    value: state.gain,
    on: {
      input: () => {
        state.gain = Number(gain.value);
        difference();
      },
    },
  });

  const pixels = new Map();
  async function read(name) {
    if (!pixels.has(name)) {
      const picture = new Image();
      picture.src = image[name].uri;
      await picture.decode();
      const { width: w, height: h } = image[name];
      const reader = make("canvas", { width: w, height: h }).getContext("2d", {
        willReadFrequently: true,
      });
      reader.drawImage(picture, 0, 0);
      pixels.set(name, reader.getImageData(0, 0, w, h).data);
    }
    return pixels.get(name);
  }

  async function difference() {
    const { right, against, gain: times } = state;
    if (image[right].width !== image[against].width) {
      words.textContent = `${right} has another size: no difference`;
      return;
    }
    const [one, other] = [await read(right), await read(against)];
    [canvas.width, canvas.height] = [image[right].width, image[right].height];
    const context = canvas.getContext("2d");
    const out = context.createImageData(canvas.width, canvas.height);
    let squares = 0;
    one.forEach((value, p) => {
      if (p % 4 === 3) out.data[p] = 255;
      else {
        squares += (value - other[p]) ** 2;
        out.data[p] = 127.5 + times * (value - other[p]);
      }
    });
    context.putImageData(out, 0, 0);
    const rms = Math.sqrt(squares / (0.75 * one.length));
    canvas.setAttribute("aria-label", `${right} minus ${against}, ${times} times enlarged`);
    words.textContent = `${right} minus ${against}, ${times} times; mid-grey is no difference. Root mean square ${shown(rms)} of 255.`;
  }

  const element = make(
    "div",
    { class: "columns" },
    make(
      "div",
      { class: "wide" },
      make(
        "section",
        { class: "panel", "aria-label": "Before and after" },
        make(
          "div",
          { class: "toolbar" },
          make("span", { class: "together" }, make("label", { for: "left" }, "Left"), leftSelect),
          swap,
          make(
            "span",
            { class: "together" },
            make("label", { for: "right" }, "Right"),
            rightSelect,
          ),
          make("div", { class: "row" }, zooms),
        ),
        make("div", { class: "scroll" }, stage),
      ),
    ),
    make(
      "div",
      { class: "narrow pair" },
      rated.length
        ? make(
            "section",
            { class: "panel", "aria-label": "PSNR" },
            make("h2", {}, "Error"),
            table,
            make("p", { class: "note" }, "Higher is better. The bars begin 2 dB below the lowest."),
          )
        : null,
      make(
        "section",
        { class: "panel", "aria-label": "Difference" },
        make("h2", {}, "Difference"),
        make(
          "div",
          { class: "row differ" },
          make(
            "span",
            { class: "together" },
            make("label", { for: "against" }, "from"),
            againstSelect,
          ),
          make("span", { class: "together" }, make("label", { for: "gain" }, "times"), gain),
        ),
        make("figure", {}, canvas, words),
      ),
    ),
  );
  return { element, start: show };
}

switcher(data.cases, {
  id: "case",
  label: "Damage",
  name: ({ title }) => title,
  build: restorationPage,
});
