// Colours of nodes by a number: in one direction for amounts, in two directions from zero for changes.
import { element } from "./rows.js";

const UP = [[247, 247, 247], [146, 197, 222], [33, 102, 172]];      // ColorBrewer's; safe for colour-blind readers
const DOWN = [[247, 247, 247], [253, 184, 99], [179, 88, 6]];
const UNCERTAIN = [[225, 225, 225], [225, 225, 225]];              // a change whose interval includes zero
const MORE = [[255, 255, 217], [65, 182, 196], [8, 29, 88]];

// scale: {values: {wnid: number}, label, unit, change, low, high, intervals: {wnid: [low, high]} or undefined}
export function palette(tree, scale) {
  const byNode = (table) => Object.fromEntries(
    Object.entries(table ?? {}).map(([wnid, value]) => [tree.number.get(wnid), value]));
  const values = byNode(scale.values);
  const intervals = byNode(scale.intervals);
  const uncertain = (at) => at in intervals && intervals[at][0] <= 0 && intervals[at][1] >= 0;
  const widest = Math.max(Math.abs(scale.low), Math.abs(scale.high)) || 1;
  const range = scale.high - scale.low || 1;
  const rgb = (value, at) => {
    if (uncertain(at)) return mix(UNCERTAIN, 0);
    if (scale.change) return mix(value < 0 ? DOWN : UP, Math.abs(value) / widest);
    return mix(MORE, (value - scale.low) / range);
  };
  const say = (value) => {
    const text = Math.abs(value).toFixed(1);
    const isNegative = value < 0 && text !== "0.0"; // not of -0.04
    return (isNegative ? "−" : scale.change ? "+" : "") + text;
  };
  const about = (at) => (at in intervals ? `95 % interval ${intervals[at].map(say).join(" to ")} ${scale.unit}` : "");
  const paint = (value, at) => `rgb(${rgb(value, at).join(" ")})`;
  const ink = (value, at) => {
    const [red, green, blue] = rgb(value, at);
    return 0.299 * red + 0.587 * green + 0.114 * blue > 140 ? "#1a1a1a" : "#ffffff";
  };
  const ends = scale.change ? [-widest, 0, widest] : [scale.low, scale.low + range / 2, scale.low + range];
  const legend = () => {
    const bar = element("div", { class: "ramp" });
    const stops = Array.from({ length: 11 }, (_, nth) => paint(ends[0] + ((ends[2] - ends[0]) * nth) / 10));
    bar.style.background = `linear-gradient(90deg, ${stops.join(", ")})`;
    return [
      element("span", {}, scale.label), bar,
      element("div", { class: "ends" }, ...ends.map((value) => element("span", {}, `${say(value)} ${scale.unit}`))),
      ...(scale.intervals ? [element("span", { class: "uncertain" }, "grey: the 95 % interval includes zero")] : []),
    ];
  };
  return { values, unit: scale.unit, say, about, paint, ink, legend };
}

function mix(colours, part) {
  const position = Math.min(1, Math.max(0, part)) * (colours.length - 1);
  const nth = Math.min(colours.length - 2, Math.floor(position));
  return colours[nth].map((low, channel) => Math.round(low + (colours[nth + 1][channel] - low) * (position - nth)));
}
