/** Values that can be written as JSON and read back the same. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
