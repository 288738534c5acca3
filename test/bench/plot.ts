import type { CostPoint } from './measure.js';

const PANEL = { width: 240, height: 170, left: 52, top: 34, gap: 66, bottom: 40 } as const;

interface Curve {
  readonly title: string;
  readonly value: (point: CostPoint) => number;
  /** The bar at 100,000 hosts. */
  readonly limit?: number;
}

const CURVES: readonly Curve[] = [
  { title: 'RSS of all processes, MB', value: (point) => point.rssMb, limit: 450 },
  { title: 'processor, % of a core', value: (point) => point.cpuPercent, limit: 15 },
  { title: 'one more newcomer, ms', value: (point) => point.newcomerMs },
  { title: 'start with adoption, s', value: (point) => point.adoptS },
];

/** The growth curve as SVG: hosts on a logarithmic axis, each cost on a linear one of its own. */
export function costPlot(curve: readonly CostPoint[]): string {
  const width = CURVES.length * (PANEL.width + PANEL.gap) + 10;
  const height = PANEL.top + PANEL.height + PANEL.bottom;
  const panels = CURVES.map((each, i) => panel(each, curve, PANEL.left + i * (PANEL.width + PANEL.gap)));
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="11">
<title>What hosts cost: memory, processor and answers by their number</title>
<rect width="100%" height="100%" fill="white"/>
${panels.join('\n')}
</svg>
`;
}

function panel({ title, value, limit }: Curve, points: readonly CostPoint[], left: number): string {
  const { top, width, height } = PANEL;
  const most = niceCeiling(Math.max(...points.map(value), limit ?? 0));
  const logs = points.map(({ hosts }) => Math.log10(hosts));
  const [low, high] = [Math.min(...logs), Math.max(...logs)];
  const x = (hosts: number) =>
    high === low ? left + width / 2 : left + ((Math.log10(hosts) - low) / (high - low)) * width;
  const y = (cost: number) => top + height - (cost / most) * height;
  const parts = [`<text x="${left}" y="${top - 14}" font-weight="bold">${title}</text>`];
  for (const tick of [0, 0.5, 1].map((share) => share * most)) {
    parts.push(
      line(left, y(tick), left + width, y(tick), '#ddd'),
      `<text x="${left - 6}" y="${y(tick) + 4}" text-anchor="end">${Number(tick.toPrecision(3))}</text>`,
    );
  }
  if (limit !== undefined) {
    parts.push(
      line(left, y(limit), left + width, y(limit), '#c00', ' stroke-dasharray="4 3"'),
      `<text x="${left + 4}" y="${y(limit) - 4}" fill="#c00">demanded at 100,000: ${limit}</text>`,
    );
  }
  const path = points
    .map((point, i) => `${i === 0 ? 'M' : 'L'}${x(point.hosts).toFixed(1)} ${y(value(point)).toFixed(1)}`)
    .join(' ');
  parts.push(`<path d="${path}" fill="none" stroke="#06c" stroke-width="2"/>`);
  for (const point of points) {
    parts.push(
      `<circle cx="${x(point.hosts).toFixed(1)}" cy="${y(value(point)).toFixed(1)}" r="3" fill="#06c"/>`,
      `<text x="${x(point.hosts).toFixed(1)}" y="${top + height + 16}" text-anchor="middle">${point.hosts.toLocaleString('en-US')}</text>`,
    );
  }
  parts.push(
    `<text x="${left + width / 2}" y="${top + height + 32}" text-anchor="middle" fill="#555">hosts</text>`,
  );
  return parts.join('\n');
}

function line(x1: number, y1: number, x2: number, y2: number, colour: string, more = ''): string {
  return `<line x1="${x1}" y1="${y1.toFixed(1)}" x2="${x2}" y2="${y2.toFixed(1)}" stroke="${colour}"${more}/>`;
}

function niceCeiling(value: number): number {
  const scale = 10 ** Math.floor(Math.log10(value));
  const step = [1, 1.5, 2, 3, 4, 5, 6, 8, 10].find((each) => each * scale >= value) ?? 10;
  return step * scale;
}
