// Builds what the extension consists of: its program in one file with the licences of what is in it, and copies of what
// stands elsewhere in the repository.

import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

process.chdir(dirname(fileURLToPath(import.meta.url)));
const ROOT = "../..";

rmSync("dist", { recursive: true, force: true });
mkdirSync("dist");
const { metafile } = await build({
    entryPoints: ["src/extension.ts"],
    outfile: "dist/extension.js",
    bundle: true,
    platform: "node",
    format: "cjs",
    target: "node20",
    external: ["vscode"],
    minify: true,
    metafile: true,
});

const PACKAGE = /^.*node_modules\/(@[^/]+\/)?[^/]+(?=\/)/;
const packages = new Set(Object.keys(metafile.inputs).flatMap((file) => PACKAGE.exec(file)?.[0] ?? []));
const licences = [...packages].sort().map((folder) => {
    const file = readdirSync(folder).find((name) => /^licen[sc]e/i.test(name));
    return `${folder.replace(/^.*node_modules\//, "")}\n\n${readFileSync(`${folder}/${file}`, "utf-8").trim()}\n`;
});
writeFileSync("dist/licences.txt", licences.join(`\n${"-".repeat(80)}\n\n`));

cpSync(`${ROOT}/grammars/mfs.tmLanguage.json`, "dist/mfs.tmLanguage.json");
cpSync(`${ROOT}/LICENSE`, "LICENSE");

// The specs whose colours are tested; their snapshots lie beside the copies.
const COPIES = "test/snapshots/specs";
const specs = (folder) => readdirSync(folder, { recursive: true }).filter((file) => file.endsWith(".mfs"));
specs(COPIES).forEach((file) => rmSync(`${COPIES}/${file}`));
specs(`${ROOT}/specs`).forEach((file) => cpSync(`${ROOT}/specs/${file}`, `${COPIES}/${file}`));
