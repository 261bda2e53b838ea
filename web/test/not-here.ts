// Programs of tests/programs that cannot pass in a browser, each with its reason. One that passes
// after all is a failure too.

export const NOT_HERE: Record<string, string> = {};
