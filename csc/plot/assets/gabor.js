// Images that the page computes: the fitted Gabor function, the residual, the spectrum.

const SPECTRUM_SIDE = 64;
const PICTURE = 112; // pixels on the screen, of an image in detail; page.css has it, too

// Images of one byte per pixel, as numbers from -1 to 1; 1 is the largest modulus of each.
class Planes {
  constructor({ size: [height, width], bytes }) {
    [this.height, this.width] = [height, width];
    const text = atob(bytes);
    this.bytes = Int8Array.from(text, (character) => (character.charCodeAt(0) << 24) >> 24);
  }

  get(i) {
    const n = this.height * this.width;
    return Float64Array.from(this.bytes.subarray(i * n, (i + 1) * n), (byte) => byte / 127);
  }
}

// The Gabor function of row i of a fit; `csc.analysis.receptive_fields.GaborFit` defines the letters.
function gabor(fit, i, height, width) {
  const values = new Float64Array(height * width);
  const [sine, cosine] = [Math.sin(fit.orientation[i]), Math.cos(fit.orientation[i])];
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const dx = column - (width - 1) / 2 - fit.x[i];
      const dy = row - (height - 1) / 2 - fit.y[i];
      const across = dx * sine + dy * cosine;
      const along = dy * sine - dx * cosine;
      const envelope = Math.exp(
        -0.5 * (across / fit.sigma_x[i]) ** 2 - 0.5 * (along / fit.sigma_y[i]) ** 2,
      );
      const wave = Math.cos(2 * Math.PI * fit.frequency[i] * across + fit.phase[i]);
      values[row * width + column] = fit.amplitude[i] * envelope * wave;
    }
  }
  return values;
}

// Cosines and sines of every frequency of a spectrum at n places.
const tables = new Map();
function waveTables(n) {
  if (!tables.has(n)) {
    const angle = (f, t) => (-2 * Math.PI * (f - SPECTRUM_SIDE / 2) * t) / SPECTRUM_SIDE;
    const table = (of) => (_, f) => Float64Array.from({ length: n }, (_, t) => of(angle(f, t)));
    const rows = { length: SPECTRUM_SIDE };
    tables.set(n, [Array.from(rows, table(Math.cos)), Array.from(rows, table(Math.sin))]);
  }
  return tables.get(n);
}

// Modulus of the Fourier transform, from -1/2 to 1/2 cycle per pixel on both axes, its peak 1.
function spectrum(values, height, width) {
  const side = SPECTRUM_SIDE;
  const [[cx, sx], [cy, sy]] = [waveTables(width), waveTables(height)];
  const [real, imaginary] = [new Float64Array(side * height), new Float64Array(side * height)];
  for (let fx = 0; fx < side; fx++) {
    for (let y = 0; y < height; y++) {
      let [re, im] = [0, 0];
      for (let x = 0; x < width; x++) {
        re += values[y * width + x] * cx[fx][x];
        im += values[y * width + x] * sx[fx][x];
      }
      [real[fx * height + y], imaginary[fx * height + y]] = [re, im];
    }
  }
  const moduli = new Float64Array(side * side);
  for (let fy = 0; fy < side; fy++) {
    for (let fx = 0; fx < side; fx++) {
      let [re, im] = [0, 0];
      for (let y = 0; y < height; y++) {
        const [a, b] = [real[fx * height + y], imaginary[fx * height + y]];
        re += a * cy[fy][y] - b * sy[fy][y];
        im += a * sy[fy][y] + b * cy[fy][y];
      }
      moduli[fy * side + fx] = Math.hypot(re, im);
    }
  }
  const top = Math.max(...moduli) || 1;
  return moduli.map((value) => value / top);
}

// Draw values of an image on a canvas of its size: from -1, black, to 1, white; 0 is mid-grey.
function drawSigned(canvas, values, height, width) {
  drawGrey(
    canvas,
    values.map((value) => 0.5 + value / 2),
    height,
    width,
  );
}

// Draw values from 0, black, to 1, white.
function drawGrey(canvas, values, height, width) {
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  values.forEach((value, p) => {
    const grey = Math.round(255 * Math.min(1, Math.max(0, value)));
    pixels[p] = 0xff000000 | (grey << 16) | (grey << 8) | grey;
  });
  context.putImageData(image, 0, 0);
}

// A canvas with a caption, drawn at once.
function canvasFigure(caption, description, draw, style = "") {
  const canvas = make("canvas", { role: "img", "aria-label": description, class: style });
  draw(canvas);
  return make("figure", { class: "view" }, canvas, make("figcaption", {}, caption));
}
