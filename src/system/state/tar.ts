/** A tar archive (POSIX.1-1988 ustar) of files in memory. */

export interface ArchiveFile {
  readonly name: string;
  readonly bytes: Uint8Array;
}

const BLOCK_BYTES = 512;

export function tar(files: readonly ArchiveFile[], modified: Date): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const { name, bytes } of files) {
    parts.push(
      header(name, bytes.length, modified),
      bytes,
      new Uint8Array(-bytes.length & (BLOCK_BYTES - 1)),
    );
  }
  // Two empty blocks end it.
  return Buffer.concat([...parts, new Uint8Array(2 * BLOCK_BYTES)]);
}

function header(name: string, size: number, modified: Date): Uint8Array {
  const block = Buffer.alloc(BLOCK_BYTES);
  const octal = (value: number, digits: number) => `${value.toString(8).padStart(digits, '0')}\0`;
  if (Buffer.byteLength(name) > 100) throw new RangeError(`name of ${name.length} characters in an archive`);
  block.write(name, 0);
  block.write(octal(0o600, 7), 100);
  block.write(octal(0, 7), 108);
  block.write(octal(0, 7), 116);
  block.write(octal(size, 11), 124);
  block.write(octal(Math.floor(modified.getTime() / 1000), 11), 136);
  block.write('0', 156);
  block.write('ustar\0' + '00', 257);
  // The sum is made with spaces in its place.
  block.fill(' ', 148, 156);
  block.write(
    `${octal(
      block.reduce((sum, byte) => sum + byte, 0),
      6,
    )} `,
    148,
  );
  return block;
}
