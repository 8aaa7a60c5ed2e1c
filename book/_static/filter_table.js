// A box above a long table that leaves only the rows in which every typed word stands.
"use strict";

function addFilter(table) {
  const rows = [...table.tBodies[0].rows];
  const texts = rows.map((row) => row.textContent.toLowerCase());
  const box = document.createElement("p");
  box.className = "table-filter";
  const label = document.createElement("label");
  const input = document.createElement("input");
  const count = document.createElement("span");
  input.type = "search";
  input.autocomplete = "off";
  label.append("Filter ", input);
  count.setAttribute("role", "status");
  box.append(label, count);

  const show = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    rows.forEach((row, place) => {
      const fits = words.every((word) => texts[place].includes(word));
      row.hidden = !fits;
      shown += fits;
    });
    count.textContent = `${shown} of ${rows.length} rows`;
  };
  input.addEventListener("input", show);
  show();
  (table.closest(".pst-scrollable-table-container") || table).before(box);
}

document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll("table.filtered").forEach(addFilter);
});
