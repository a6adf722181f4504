// Pictures that CSS cuts from the sheets of the page. A sheet has its pictures row by row.

// The place of picture i, as style variables of an element of class "tile".
function place(tile, sheet, i) {
  const { columns } = page.data.sheets[sheet];
  tile.style.setProperty("--column", i % columns);
  tile.style.setProperty("--row", Math.floor(i / columns));
}

// Picture i of a sheet, so many times enlarged.
function picture(sheet, i, zoom, label) {
  const tile = make("span", { class: `tile sheet-${sheet}`, role: "img", "aria-label": label });
  tile.style.setProperty("--zoom", zoom);
  place(tile, sheet, i);
  return tile;
}

// The zoom at which a picture of a sheet is about so many pixels high, whole if it can be.
function zoomFor(sheet, pixels) {
  const zoom = pixels / page.data.sheets[sheet].size[0];
  return zoom >= 1 ? Math.max(1, Math.round(zoom)) : zoom;
}
