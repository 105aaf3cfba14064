/** Headers of every answer, as flat lists of names and values. */
export const SECURITY_HEADERS: readonly string[] = [
  'X-Content-Type-Options',
  'nosniff',
  'Cross-Origin-Resource-Policy',
  'cross-origin',
];

/** Whatever a browser takes the bytes for: nothing in them runs, and nothing is fetched. */
export const SANDBOX: readonly string[] = [
  'Content-Security-Policy',
  "sandbox; default-src 'none'",
];

export const NO_STORE: readonly string[] = ['Cache-Control', 'no-store'];
