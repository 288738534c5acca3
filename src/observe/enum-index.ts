/** The place of each word in a closed list, for whoever counts or keeps many of them: numbers are smaller. */
export function enumIndex<W extends string>(list: readonly W[]): ReadonlyMap<W, number> {
  return new Map(list.map((word, index) => [word, index]));
}
