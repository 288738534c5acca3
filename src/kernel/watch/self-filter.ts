/**
 * Whether a line that has our protocol number is our own entry coming back. An administrator who makes a neighbour
 * entry of ours his own leaves our protocol number in it, but not extern_learn. A deletion may be somebody else's doing.
 */
export function isOwnNotification(line: string): boolean {
  if (line.startsWith('Deleted ')) return false;
  return !line.includes(' PERMANENT ') || line.includes(' extern_learn ');
}
