const word = 2 ** 32;

/** How many binary digits a number of bytes has, as SQL counts them. */
export function sizeClassOf(size: number): number {
  if (size < word) return 32 - Math.clz32(size);
  return 64 - Math.clz32(Math.floor(size / word));
}
