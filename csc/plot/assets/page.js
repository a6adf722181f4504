// What every page uses: its data, elements, numbers, and the choice of light or dark.

const page = { data: JSON.parse(document.getElementById("data").textContent) };

// An element with attributes, listeners {on: {click: f}} and children. Strings become text, never HTML.
function make(name, attributes = {}, ...children) {
  const svg = make.svg.has(name);
  const element = svg
    ? document.createElementNS("http://www.w3.org/2000/svg", name)
    : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "on") {
      for (const [event, listener] of Object.entries(value))
        element.addEventListener(event, listener);
    } else if (value === true) {
      element.setAttribute(key, "");
    } else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(key, value);
    }
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}
make.svg = new Set(["svg", "g", "path", "line", "rect", "circle", "text", "polyline", "tspan"]);

// A number with so many decimals, with a true minus sign; a dash for what is missing.
function shown(value, decimals = 2) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  return value.toFixed(decimals).replace("-", "−");
}

// A number with so many significant digits.
function significant(value, digits = 4) {
  if (value === null || !Number.isFinite(value)) return "–";
  const before = Math.max(1, Math.ceil(Math.log10(Math.abs(value) || 1) + 1e-9));
  return shown(value, Math.max(0, digits - before));
}

function percent(value, decimals = 0) {
  return value === null ? "–" : `${shown(100 * value, decimals)} %`;
}

// A few buttons of which one is pressed: values {value: label}.
function segments(label, values, chosen, choose) {
  const buttons = Object.entries(values).map(([value, text]) =>
    make(
      "button",
      {
        type: "button",
        "aria-pressed": String(value === chosen),
        on: {
          click: () => {
            for (const b of buttons)
              b.setAttribute("aria-pressed", String(b.dataset.value === value));
            choose(value);
          },
        },
        "data-value": value,
      },
      text,
    ),
  );
  return make("div", { class: "segments", role: "group", "aria-label": label }, buttons);
}

// A box to tick, which tells `change` whether it is ticked.
function checkbox(id, change) {
  const box = make("input", { type: "checkbox", id, on: { change: () => change(box.checked) } });
  return box;
}

// The first of some items, and a list to choose another if there are several. `build` gives the
// element of an item, and `start`, which is called once the element stands in the page.
function switcher(items, { id, label, name, build }) {
  const stage = make("div", {});
  const open = (i) => {
    const { element, start } = build(items[i]);
    stage.replaceChildren(element);
    start();
  };
  const main = document.getElementById("main");
  if (items.length > 1) {
    const select = make(
      "select",
      { id, on: { change: () => open(Number(select.value)) } },
      items.map((item, i) => make("option", { value: i }, name(item))),
    );
    main.append(make("p", { class: "row chooser" }, make("label", { for: id }, label), select));
  }
  main.append(stage);
  open(0);
}

// The colour of a name in page.css, as it is now.
function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

// Call `draw` when the colours change: by the button, by the system, for printing.
function onColours(draw) {
  document.addEventListener("colours", draw);
}

function themeButton() {
  const names = { auto: "Auto", light: "Light", dark: "Dark" };
  const order = Object.keys(names);
  let now = "auto";
  const button = make("button", { type: "button", class: "quiet", id: "theme" });
  const say = () => {
    button.textContent = `Colours: ${names[now]}`;
    if (now === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = now;
    document.dispatchEvent(new Event("colours"));
  };
  button.addEventListener("click", () => {
    now = order[(order.indexOf(now) + 1) % order.length];
    say();
  });
  say();
  return button;
}

const repaint = () => document.dispatchEvent(new Event("colours"));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
matchMedia("print").addEventListener("change", repaint);
document.querySelector(".masthead").prepend(themeButton());
