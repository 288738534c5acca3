/**
 * How the decisions of one event differ from those that were recorded, by what they say: one that is missing is one
 * difference, wherever it stood. A line of each side makes one difference together.
 */
export function differencesOf(recorded: readonly string[], decided: readonly string[]): string[] {
  const missing = without(recorded, decided);
  const added = without(decided, recorded);
  const differences: string[] = [];
  for (let i = 0; i < Math.max(missing.length, added.length); i++)
    differences.push(`recorded: ${missing[i] ?? 'nothing'}; now: ${added[i] ?? 'nothing'}`);
  if (differences.length === 0 && recorded.some((line, i) => line !== decided[i]))
    differences.push(
      `recorded: ${recorded.join('; ')}; now the same in another order: ${decided.join('; ')}`,
    );
  return differences;
}

/** The lines of one list that the other does not have, or not as often. */
function without(lines: readonly string[], others: readonly string[]): string[] {
  const left = new Map<string, number>();
  for (const line of others) left.set(line, (left.get(line) ?? 0) + 1);
  return lines.filter((line) => {
    const count = left.get(line) ?? 0;
    left.set(line, count - 1);
    return count <= 0;
  });
}
