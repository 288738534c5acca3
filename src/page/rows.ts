import { duration, h, setText } from './dom.js';
import { byMachine } from './order.js';
import { ELSEWHERE, type Host, type Move, type Picture, type Place, type Router } from './picture.js';

/** The routers, their LANs and the hosts: a chip for each host of a short row, a cell for each of a long one. */

/** Longer rows are drawn as cells. */
const MOST_CHIPS = 160;
/** Pixels of a cell, gap included; thousands are smaller. */
const cellOf = (hosts: number) => (hosts > 2000 ? 6 : 10);
const FLIGHT_MS = 700;
/** More moves at once than anybody can follow are not animated. */
const MOST_FLIGHTS = 30;

type Row = Map<string, Host>;

export class Rows {
  readonly #root: HTMLElement;
  readonly #flights: HTMLElement;
  readonly #onHost: (ip: string) => void;
  #cards = new Map<string, Card>();
  #rows = new Map<Row, RowView>();
  #matches: ((host: Host) => boolean) | undefined;

  constructor(root: HTMLElement, flights: HTMLElement, onHost: (ip: string) => void) {
    this.#root = root;
    this.#flights = flights;
    this.#onHost = onHost;
    new ResizeObserver(() => this.#redraw()).observe(root);
  }

  /** Another picture is shown from now on. */
  reset(): void {
    this.#root.replaceChildren();
    this.#cards = new Map();
    this.#rows = new Map();
  }

  /** Which hosts stand out. */
  highlight(matches: ((host: Host) => boolean) | undefined): void {
    this.#matches = matches;
    this.#redraw();
  }

  draw(picture: Picture): void {
    const moves = picture.takeMoves();
    const changed = picture.takeChanged();
    const from = moves.slice(-MOST_FLIGHTS).map((move) => this.#rectOf(picture, move.from, move.ip));
    for (const router of picture.routers.values()) this.#card(router).draw();
    for (const [row, view] of this.#rows) if (changed.has(row) || !view.drawn) view.draw(this.#matches);
    moves.slice(-MOST_FLIGHTS).forEach((move, index) => {
      this.#fly(move, from[index], this.#rectOf(picture, move.to, move.ip));
    });
  }

  #redraw(): void {
    for (const view of this.#rows.values()) view.draw(this.#matches);
  }

  #card(router: Router): Card {
    let card = this.#cards.get(router.name);
    if (card === undefined) {
      card = new Card(router, this.#rows, this.#onHost);
      this.#cards.set(router.name, card);
      this.#root.append(card.element);
    }
    return card;
  }

  /** Where a host was drawn last, on the screen; else its row. */
  #rectOf(picture: Picture, { router, lan }: Place, ip: string): DOMRect | undefined {
    const row = picture.routers.get(router)?.lans.get(lan);
    return row === undefined ? undefined : this.#rows.get(row)?.rectOf(ip);
  }

  #fly({ ip }: Move, from: DOMRect | undefined, to: DOMRect | undefined): void {
    if (from === undefined || to === undefined || matchMedia('(prefers-reduced-motion: reduce)').matches)
      return;
    const chip = h('span', { class: 'host fresh' }, ip);
    this.#flights.append(chip);
    const at = (rect: DOMRect) => `translate(${rect.x}px, ${rect.y}px)`;
    const flight = chip.animate([{ transform: at(from) }, { transform: at(to) }], {
      duration: FLIGHT_MS,
      easing: 'ease-in-out',
    });
    flight.onfinish = () => chip.remove();
  }
}

class Card {
  readonly element: HTMLElement;
  readonly #router: Router;
  readonly #rows: Map<Row, RowView>;
  readonly #onHost: (ip: string) => void;
  readonly #about = h('p', { class: 'about' });
  readonly #problem = h('p', { class: 'problem' });
  readonly #views = new Map<string, RowView>();

  constructor(router: Router, rows: Map<Row, RowView>, onHost: (ip: string) => void) {
    this.#router = router;
    this.#rows = rows;
    this.#onHost = onHost;
    this.element = h('section', { class: 'router' }, h('h3', {}, router.name), this.#about, this.#problem);
  }

  draw(): void {
    const { status, problem, lans, hosts } = this.#router;
    const about = status === undefined ? '' : `marpd ${status.version}, up ${duration(status.uptimeMs)}, `;
    setText(this.#about, `${about}${hosts.size.toLocaleString('en')} hosts`);
    setText(this.#problem, problem ?? '');
    this.#problem.hidden = problem === undefined;
    for (const [lan, row] of lans) {
      let view = this.#views.get(lan);
      if (view === undefined) {
        view = new RowView(row, this.#onHost);
        this.#views.set(lan, view);
        this.#rows.set(row, view);
        const names = [...lans.keys()].sort((a, b) =>
          a === ELSEWHERE ? 1 : b === ELSEWHERE ? -1 : a < b ? -1 : 1,
        );
        this.element.append(...names.flatMap((name) => this.#views.get(name)?.element ?? []));
      }
      view.caption(lan, this.#captionOf(lan, row));
    }
  }

  #captionOf(lan: string, row: Row): string {
    const count = row.size.toLocaleString('en');
    if (lan === ELSEWHERE) return row.size === 0 ? '' : count;
    const view = this.#router.interfaces.get(lan);
    if (view === undefined) return count;
    const state = view.capturing ? '' : ` · NOT CAPTURED: ${view.reason ?? 'no reason given'}`;
    return `${view.addresses.join(', ') || 'no address'} · ${count}${state}`;
  }
}

class RowView {
  readonly element: HTMLElement;
  readonly #row: Row;
  readonly #onHost: (ip: string) => void;
  readonly #name = h('span');
  readonly #note = h('small');
  readonly #hosts = h('div', { class: 'hosts' });
  readonly #chips = new Map<string, HTMLElement>();
  #cells: Cells | undefined;
  drawn = false;

  constructor(row: Row, onHost: (ip: string) => void) {
    this.#row = row;
    this.#onHost = onHost;
    this.element = h('div', { class: 'lan' }, h('h4', {}, this.#name, ' ', this.#note), this.#hosts);
  }

  caption(lan: string, note: string): void {
    setText(this.#name, lan === ELSEWHERE ? 'away or remembered' : lan);
    setText(this.#note, note);
    this.element.hidden = lan === ELSEWHERE && this.#row.size === 0;
  }

  draw(matches: ((host: Host) => boolean) | undefined): void {
    this.drawn = true;
    const hosts = byMachine(this.#row.values());
    if (hosts.length > MOST_CHIPS) {
      this.#chips.clear();
      if (this.#cells === undefined) {
        this.#cells = new Cells(this.#onHost);
        this.#hosts.replaceChildren(this.#cells.element);
      }
      this.#cells.draw(hosts, matches);
      return;
    }
    this.#cells = undefined;
    const chips = hosts.map((host, index) => {
      const { ip, state, frozen, mac } = host;
      const chip = this.#chips.get(ip) ?? h('button', { type: 'button', click: () => this.#onHost(ip) }, ip);
      const dim = matches !== undefined && !matches(host);
      const follows = mac !== null && hosts[index - 1]?.mac === mac;
      chip.className = `host ${state}${frozen ? ' frozen' : ''}${dim ? ' dim' : ''}${follows ? ' same' : ''}`;
      chip.title = `${state}${frozen ? ', FROZEN' : ''}${mac === null ? '' : `, ${mac}`}`;
      return [ip, chip] as const;
    });
    this.#chips.clear();
    for (const [ip, chip] of chips) this.#chips.set(ip, chip);
    this.#hosts.replaceChildren(...this.#chips.values());
  }

  rectOf(ip: string): DOMRect {
    return (
      this.#chips.get(ip)?.getBoundingClientRect() ??
      this.#cells?.rectOf(ip) ??
      this.#hosts.getBoundingClientRect()
    );
  }
}

/** Thousands of hosts in one canvas. */
class Cells {
  readonly element = h('canvas', {});
  #hosts: readonly Host[] = [];
  readonly #at = new Map<string, number>();
  #cell = 1;
  #columns = 1;

  constructor(onHost: (ip: string) => void) {
    this.element.addEventListener('click', (event) => {
      const host = this.#hostAt(event);
      if (host !== undefined) onHost(host.ip);
    });
    this.element.addEventListener('mousemove', (event) => {
      const host = this.#hostAt(event);
      this.element.title =
        host === undefined ? '' : `${host.ip}: ${host.state}${host.frozen ? ', FROZEN' : ''}`;
    });
  }

  draw(hosts: readonly Host[], matches: ((host: Host) => boolean) | undefined): void {
    const width = this.element.clientWidth || this.element.parentElement?.clientWidth || 600;
    const cell = cellOf(hosts.length);
    this.#hosts = hosts;
    this.#cell = cell;
    this.#columns = Math.max(1, Math.floor(width / cell));
    const height = Math.ceil(hosts.length / this.#columns) * cell;
    const scale = devicePixelRatio;
    this.element.width = width * scale;
    this.element.height = height * scale;
    this.element.style.height = `${height}px`;
    const context = this.element.getContext('2d');
    if (context === null) return;
    context.scale(scale, scale);
    const style = getComputedStyle(document.documentElement);
    const colours = new Map<string, string>();
    this.#at.clear();
    hosts.forEach((host, index) => {
      this.#at.set(host.ip, index);
      const name = host.frozen ? 'alarm' : host.state;
      let colour = colours.get(name);
      if (colour === undefined) {
        colour = style.getPropertyValue(`--${name}`);
        colours.set(name, colour);
      }
      context.fillStyle = colour;
      context.globalAlpha = matches === undefined || matches(host) ? 1 : 0.15;
      const { x, y } = this.#place(index);
      context.fillRect(x, y, cell - 1, cell - 1);
    });
  }

  rectOf(ip: string): DOMRect | undefined {
    const index = this.#at.get(ip);
    if (index === undefined) return undefined;
    const { x, y } = this.#place(index);
    const box = this.element.getBoundingClientRect();
    return new DOMRect(box.x + x, box.y + y, this.#cell, this.#cell);
  }

  #place(index: number): { x: number; y: number } {
    return { x: (index % this.#columns) * this.#cell, y: Math.floor(index / this.#columns) * this.#cell };
  }

  #hostAt(event: MouseEvent): Host | undefined {
    const column = Math.floor(event.offsetX / this.#cell);
    if (column >= this.#columns) return undefined;
    return this.#hosts[Math.floor(event.offsetY / this.#cell) * this.#columns + column];
  }
}
