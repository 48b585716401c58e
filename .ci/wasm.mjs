// Run pytest in Python for WebAssembly (Pyodide), which has neither processes nor threads.
//
//     ulimit -s 1000000; node --stack-size=900000 .ci/wasm.mjs SITE ARGUMENT ...
//
// SITE is a folder with pytest and the packages that the tests need. The C core is not there, so the engine is Python's.
import { createRequire } from "node:module";

const [site, ...rest] = process.argv.slice(2);
const { loadPyodide } = createRequire(`${process.cwd()}/`)("pyodide");
const python = await loadPyodide();
for (const [folder, root] of [["/site", site], ["/tree", process.cwd()]]) {
    python.FS.mkdirTree(folder);
    python.FS.mount(python.FS.filesystems.NODEFS, { root }, folder);
}
python.globals.set("arguments", python.toPy(rest));
process.exit(await python.runPythonAsync(`
import os, sys

os.chdir("/tree")
sys.path[:0] = ["/tree", "/site"]
sys.dont_write_bytecode = True
import pytest

print("Python", sys.version)
int(pytest.main([*arguments, "-p", "no:cacheprovider"]))
`));
