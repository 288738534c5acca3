import type { Ip } from '../../wire/addresses.js';
import type { Attachment } from '../events.js';
import type { Reply } from './asker.js';

/** Who asked, and when. */
export interface OpenQuestion {
  readonly at: Attachment;
  readonly asker: Ip;
  readonly reply?: Reply | undefined;
  readonly askedAt: number;
}

/** Linux asks again after a second (`retrans_time_ms`). */
const OPEN_MS = 1000;
const MOST_TARGETS = 1024;
const MOST_ASKERS = 4;

/**
 * Questions of the last second that nobody here could answer. The claim of another router for the target may be on its
 * way: two hosts of one subnet on two LANs find each other in the moment in which one of them speaks for the first time,
 * and would wait a second for the next question otherwise.
 */
export class OpenQuestions {
  #about = new Map<Ip, readonly OpenQuestion[]>();

  snapshot(): Map<Ip, readonly OpenQuestion[]> {
    return this.#about;
  }

  restore(about: Map<Ip, readonly OpenQuestion[]>): void {
    this.#about = about;
  }

  note(target: Ip, question: OpenQuestion): void {
    const others = (this.#about.get(target) ?? []).filter(
      ({ asker, askedAt }) => asker !== question.asker && question.askedAt - askedAt < OPEN_MS,
    );
    this.#about.delete(target);
    this.#about.set(target, [...others, question].slice(-MOST_ASKERS));
    if (this.#about.size > MOST_TARGETS) this.#about.delete(this.#about.keys().next().value as Ip);
  }

  targets(): readonly Ip[] {
    return [...this.#about.keys()];
  }

  /** Takes those about this target that can be answered by now. */
  take(target: Ip, now: number, isAnswerable: (question: OpenQuestion) => boolean): readonly OpenQuestion[] {
    const questions = this.#about.get(target)?.filter(({ askedAt }) => now - askedAt < OPEN_MS);
    if (questions === undefined) return [];
    const left = questions.filter((question) => !isAnswerable(question));
    if (left.length > 0) this.#about.set(target, left);
    else this.#about.delete(target);
    return questions.filter((question) => !left.includes(question));
  }
}
