// What the lines are at, under the pointer.
for (const figure of document.querySelectorAll("figure")) {
  const [xUnit, yUnit, lines] = JSON.parse(figure.querySelector("script").textContent);
  const svg = figure.querySelector("svg"), reading = figure.querySelector(".reading");
  const tip = document.createElement("div");
  tip.className = "tip";
  const hide = () => { reading.replaceChildren(); tip.remove(); };
  const draw = (name, attributes) => {
    const node = document.createElementNS(svg.namespaceURI, name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    reading.append(node);
  };
  svg.addEventListener("pointerleave", hide);
  svg.addEventListener("pointermove", event => {
    const box = svg.getBoundingClientRect(), width = svg.viewBox.baseVal.width;
    const at = (event.clientX - box.left) * width / box.width;
    const nearest = points => points.reduce((a, b) => Math.abs(b[0] - at) < Math.abs(a[0] - at) ? b : a);
    const found = lines.filter(([, points]) => points.length).map(([name, points]) => [name, nearest(points)]);
    hide();
    if (!found.length) return;
    const x = found[0][1][0];
    draw("line", { x1: x, x2: x, y1: 26, y2: 236 });
    for (const [, point] of found) draw("circle", { cx: point[0], cy: point[1], r: 3.5 });
    tip.textContent = found[0][1][2] + " " + (xUnit === "seconds" ? "s" : "") + "\n" +
      found.map(([name, point]) => name + ": " + point[3] + " " + yUnit).join("\n");
    figure.append(tip);
    const left = x * box.width / width + 16;
    tip.style.top = svg.offsetTop + 8 + "px";
    if (at > width / 2) tip.style.right = figure.clientWidth - left + 24 + "px", tip.style.left = "auto";
    else tip.style.left = left + 12 + "px", tip.style.right = "auto";
  });
}
