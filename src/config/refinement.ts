/** What a check of several keys together has found, in zod's terms. */
export type Refinement = { readonly issues: object[] };

export function refuse(context: Refinement, path: readonly PropertyKey[], message: string): void {
  context.issues.push({ code: 'custom', path, message, input: undefined });
}
