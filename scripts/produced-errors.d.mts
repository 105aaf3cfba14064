export declare function codesInUse(catalogue: string): string[];
export declare function producedErrors(folder: string): { codes: string[]; missing: string[] };
