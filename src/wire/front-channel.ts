export interface FrontChannel { readonly open: unknown }
