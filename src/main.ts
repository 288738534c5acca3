#!/usr/bin/env node
import './system/no-debugger.js';
import './system/v8-flags.js';

// V8 reads its flags as it goes: what is loaded before they are set grows the young generation as it likes. A static
// import would be loaded first.
await import('./marpd.js');
