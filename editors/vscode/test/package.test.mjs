// What the extension declares: its files, and rules about lines and words, held against all specs.

import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import oniguruma from "vscode-oniguruma";
import textmate from "vscode-textmate";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const json = (file) => JSON.parse(readFileSync(join(ROOT, file), "utf-8"));
const declared = json("package.json").contributes;
const language = json("language-configuration.json");
const SPECS = readdirSync(join(ROOT, "test/snapshots/specs"), { recursive: true })
    .filter((file) => file.endsWith(".mfs"))
    .map((file) => [file, readFileSync(join(ROOT, "test/snapshots/specs", file), "utf-8")]);

test("all files that are declared are there", () => {
    const files = [
        json("package.json").main,
        json("package.json").icon,
        ...declared.grammars.map((grammar) => grammar.path),
        ...declared.languages.flatMap((known) => [known.configuration, known.icon.light, known.icon.dark]),
        "LICENSE",
    ];
    assert.deepEqual(
        files.filter((file) => !existsSync(join(ROOT, file))),
        [],
    );
    assert.ok(SPECS.length >= 20);
});

test("the lock file names no host", () => {
    const packages = Object.values(json("package-lock.json").packages);
    assert.deepEqual(
        packages.filter((entry) => "resolved" in entry),
        [],
    );
});

test("lines are indented as the specs are", () => {
    const deeper = new RegExp(language.indentationRules.increaseIndentPattern);
    const higher = new RegExp(language.indentationRules.decreaseIndentPattern);
    for (const [file, text] of SPECS) {
        let depth = 0;
        for (const line of text.split("\n").filter((line) => line.trim())) {
            depth -= higher.test(line) ? 1 : 0;
            assert.equal(line.length - line.trimStart().length, 4 * depth, `${file}: ${line}`);
            depth += deeper.test(line) ? 1 : 0;
        }
    }
    for (const line of ["a = f(", "a = [1,  # one", "x { # {", 'f("(", [']) {
        assert.match(line, deeper);
    }
    for (const line of ["a = f()", 'a = "("', "# f(", 'f("\\"(")', "a = [1]  # f("]) {
        assert.doesNotMatch(line, deeper);
    }
});

test("a word is a name or a number", () => {
    const words = (text) => text.match(new RegExp(language.wordPattern, "g"));
    assert.deepEqual(words("res_block3(x.channels, 30_000, 1e-3, 2.5)"), [
        "res_block3",
        "x",
        "channels",
        "30_000",
        "1e-3",
        "2.5",
    ]);
    assert.deepEqual(words("16..256"), ["16", "256"]);
});

test("documentation goes on in the next line, comments do not", () => {
    const [rule] = language.onEnterRules;
    const before = new RegExp(rule.beforeText.pattern);
    assert.equal(rule.action.appendText, "## ");
    assert.match("## A network", before);
    for (const line of ["# a comment", "## ", "    ## no documentation", "relu()  ## a comment"]) {
        assert.doesNotMatch(line, before);
    }
});

test("specs in Markdown have colours, up to the end of the fence", async () => {
    const wasm = createRequire(import.meta.url).resolve("vscode-oniguruma/release/onig.wasm");
    await oniguruma.loadWASM(readFileSync(wasm).buffer);
    const files = Object.fromEntries(declared.grammars.map((grammar) => [grammar.scopeName, grammar.path]));
    const registry = new textmate.Registry({
        onigLib: Promise.resolve({
            createOnigScanner: (patterns) => new oniguruma.OnigScanner(patterns),
            createOnigString: (text) => new oniguruma.OnigString(text),
        }),
        loadGrammar: async (scope) => json(files[scope]),
    });
    const grammar = await registry.loadGrammar("markdown.mfs.codeblock");
    const scopes = [];
    let stack = null;
    for (const line of [
        "model m",
        "```mfs fragment",
        "model m {",
        "relu(",
        "```",
        "model m",
        "```mfsx",
        "model m",
    ]) {
        const found = grammar.tokenizeLine(line, stack);
        scopes.push(found.tokens[0].scopes.at(-1));
        stack = found.ruleStack;
    }
    assert.deepEqual(scopes, [
        "markdown.mfs.codeblock",
        "punctuation.definition.markdown",
        "storage.type.mfs",
        "entity.name.function.call.mfs",
        "punctuation.definition.markdown",
        "markdown.mfs.codeblock",
        "markdown.mfs.codeblock",
        "markdown.mfs.codeblock",
    ]);
});
