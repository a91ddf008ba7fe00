// The extension as it is shipped, in an editor that is none, with the real `mfc lsp`, which has to be on the PATH.

import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { Editor } from "./vscode.mjs";

const PATH = process.env.PATH;
const WRONG = "model net {\n    input = image(3, 8, 8)\n    relu()\n    rely()\n}\n";
let folder, editor, extension;

beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "mfs-"));
    editor = new Editor(folder);
    extension = editor.load("../dist/extension.js");
});

afterEach(async () => {
    await extension.deactivate();
    process.env.PATH = PATH;
    rmSync(folder, { recursive: true });
});

const activate = () => extension.activate({ subscriptions: [] });
const run = (name, ...given) => editor.api.commands.executeCommand(name, ...given);

/** A program in a folder of its own that is on the PATH alone. */
function program(name, text) {
    const place = join(folder, "programs");
    mkdirSync(place, { recursive: true });
    writeFileSync(join(place, name), `#!/bin/sh\n${text}\n`);
    chmodSync(join(place, name), 0o755);
    process.env.PATH = [place, "/usr/bin", "/bin"].join(delimiter);
    return join(place, name);
}

test("a mistake is shown, and goes when it is mended", async () => {
    await activate();
    assert.deepEqual(editor.messages, []);
    const spec = await editor.open(join(folder, "a.mfs"), WRONG);
    const [mistake] = await editor.said(spec.uri, (found) => found.length > 0);
    assert.match(mistake.message, /`rely` is not a layer/);
    assert.deepEqual({ ...mistake.range.start }, { line: 3, character: 4 });
    assert.equal(mistake.code.value, "E0204");
    await editor.type(spec, WRONG.replace("rely", "relu"));
    await editor.said(spec.uri, (found) => found.length === 0);
});

test("names are coloured by what they mean, and all else by the grammar alone", async () => {
    await activate();
    const spec = await editor.open(join(folder, "a.mfs"), 'let a = "\\n"  # one\nlet b = a\n');
    await editor.said(spec.uri, () => true);
    const provider = editor.providers.get("registerDocumentSemanticTokensProvider");
    const { token } = new editor.api.CancellationTokenSource();
    const found = await provider.provideDocumentSemanticTokens(spec, token);
    const [data] = found.given;
    assert.deepEqual(
        [...data].filter((_, i) => i % 5 === 2),
        [1, 1, 1],
    ); // the lengths of `a`, `b` and `a`
});

test("another server is started when its settings change", async () => {
    await activate();
    const spec = await editor.open(join(folder, "a.mfs"), WRONG);
    await editor.said(spec.uri, (found) => found.length > 0);
    await editor.set({ "mfc.path": "nowhere/mfc" });
    assert.deepEqual(editor.messages.splice(0), [
        `There is no program \`${join(folder, "nowhere/mfc")}\`, which the setting \`mfc.path\` names, so specs have colours only.`,
    ]);
    assert.equal(editor.diagnostics.size, 0);
    await editor.set({ "mfc.path": "mfc" });
    await editor.said(spec.uri, (found) => found.length > 0);
    assert.deepEqual(editor.messages, []);
});

test("the server has the values of params that the settings give", async () => {
    editor.settings = { "mfc.settings": { width: 0 } };
    await activate();
    const spec = await editor.open(join(folder, "a.mfs"), "param width: int = 3 in 1..8\n");
    const [mistake] = await editor.said(spec.uri, (found) => found.length > 0);
    assert.match(mistake.message, /width/);
    await editor.set({ "mfc.settings": { width: 8 } });
    await editor.said(spec.uri, (found) => found.length === 0);
});

test("inlay hints are those that the settings leave", async () => {
    editor.settings = { "mfc.hints.layers": false };
    await activate();
    const spec = await editor.open(join(folder, "a.mfs"), WRONG.replace("rely", "flatten"));
    await editor.said(spec.uri, () => true);
    const { token } = new editor.api.CancellationTokenSource();
    const range = new editor.api.Range(0, 0, spec.lineCount, 0);
    const hints = () =>
        editor.providers.get("registerInlayHintsProvider").provideInlayHints(spec, range, token);
    assert.deepEqual(await hints(), []);
    await editor.set({ "mfc.hints.layers": true });
    assert.ok((await hints()).length > 0);
});

test("where there is no mfc, what helps is said and offered", async () => {
    process.env.PATH = folder;
    editor.chosen = "Open Settings";
    let opened;
    editor.commands.set("workbench.action.openSettings", (setting) => (opened = setting));
    await activate();
    assert.match(editor.messages[0], /not on the PATH.*`pip install mfc`.*`mfc\.path`/);
    assert.equal(opened, "mfc.path");
    process.env.PATH = PATH;
    editor.messages.length = 0;
    await run("mfc.restart");
    const spec = await editor.open(join(folder, "a.mfs"), WRONG);
    await editor.said(spec.uri, (found) => found.length > 0);
    assert.deepEqual(editor.messages, []);
});

test("an mfc without a language server is told of once", async () => {
    const file = program("mfc", "echo 'invalid choice: lsp' >&2; exit 2");
    await activate();
    assert.equal(editor.messages.length, 1);
    assert.match(editor.messages[0], new RegExp(`^\`${file}\` has no language server`));
    assert.match(editor.output.join(), /invalid choice: lsp/);
});

test("the setting for the program takes names, the home folder and the folder that is open", async () => {
    const file = program("other", "exit 2");
    for (const path of ["other", file, "programs/other", "${workspaceFolder}/programs/other"]) {
        editor.settings["mfc.path"] = path;
        await (path === "other" ? activate() : run("mfc.restart"));
        assert.match(editor.messages.pop(), new RegExp(`^\`${file}\` has no language server`), path);
    }
    editor.settings["mfc.path"] = "~/no such folder/mfc";
    await run("mfc.restart");
    assert.match(
        editor.messages.pop(),
        new RegExp(`^There is no program \`${process.env.HOME}/no such folder/mfc\``),
    );
});

test("a spec is run and planned in a terminal", async () => {
    program("mfc", "exit 2");
    await activate();
    const { Uri } = editor.api;
    const sent = () => editor.terminals.map((terminal) => [terminal.name, ...terminal.sent]);
    await run("mfc.run", Uri.file(join(folder, "a.mfs")).toString(), "fit");
    await run("mfc.run", Uri.file(join(folder, "it's mine.mfs")));
    await run("mfc.plan", Uri.file(join(folder, "models/a.mfs")).toString(), "fit");
    await run("mfc.plan", "/elsewhere/a.mfs");
    await run("mfc.run", Uri.file(join(folder, "a.mfs")).toString(), "fit");
    const line = `mfc run ${folder}/a.mfs --target fit`;
    assert.deepEqual(sent(), [
        ["mfc run fit", line, line],
        ["mfc run", `mfc run '${folder}/it'\\''s mine.mfs'`],
        ["mfc plan fit", `mfc plan ${folder}/models/a.mfs --target fit`],
        ["mfc plan", "mfc plan /elsewhere/a.mfs"],
    ]);
    assert.deepEqual(
        editor.terminals.map((terminal) => terminal.cwd),
        [folder, folder, folder, "/elsewhere"],
    );
});

test("specs of one name in several folders are run each in a terminal of its own", async () => {
    program("mfc", "exit 2");
    await activate();
    for (const spec of ["/one/a.mfs", "/two/a.mfs", "/one/a.mfs"]) {
        await run("mfc.run", spec, "fit");
    }
    assert.deepEqual(
        editor.terminals.map((terminal) => [terminal.cwd, ...terminal.sent]),
        [
            ["/one", "mfc run /one/a.mfs --target fit", "mfc run /one/a.mfs --target fit"],
            ["/two", "mfc run /two/a.mfs --target fit"],
        ],
    );
});

test("a command line is written as the shell of the terminal reads it", async () => {
    await activate();
    editor.settings["mfc.path"] = "/x y/mfc";
    const sent = async (shell, spec) => {
        editor.api.env.shell = shell;
        await run("mfc.run", spec);
        return editor.terminals.flatMap((terminal) => terminal.sent.splice(0)).pop();
    };
    const windows = "C:\\Windows\\System32";
    const powershell = `${windows}\\WindowsPowerShell\\v1.0\\powershell.exe`;
    for (const [shell, spec, line] of [
        ["/usr/bin/zsh", "/a/$b.mfs", "'/x y/mfc' run '/a/$b.mfs'"],
        ["C:\\Git\\bin\\bash.exe", "/a/b\\c.mfs", "'/x y/mfc' run '/a/b\\c.mfs'"],
        ["/usr/bin/pwsh", '/a/it\'s "$b".mfs', "& '/x y/mfc' run '/a/it''s \"$b\".mfs'"],
        [powershell, '/a/it’s, "$b".mfs', "& '/x y/mfc' run '/a/it’’s, \\\"$b\\\".mfs'"],
        [`${windows}\\cmd.exe`, "/a/b&c.mfs", '"/x y/mfc" run "/a/b&c.mfs"'],
        [`${windows}\\CMD.EXE`, '/a/"b".mfs', '"/x y/mfc" run "/a/""b"".mfs"'],
    ]) {
        assert.equal(await sent(shell, spec), line);
    }
    editor.settings["mfc.path"] = "mfc";
    assert.equal(await sent(powershell, "/a/b.mfs"), "mfc run /a/b.mfs");
    await assert.rejects(sent("/bin/bash", "/a/\u0003b.mfs"), /can't be typed/);
});

test("a spec is run with the settings that it is checked with", async () => {
    mkdirSync(join(folder, "specs"));
    writeFileSync(join(folder, "parts.mfs"), "let depth = 3\n");
    const text = 'import "../parts.mfs" (depth)\nparam name: string\nlet title = "{name} {depth}"\n';
    for (const name of ["a.mfs", "b.mfs"]) {
        writeFileSync(join(folder, "specs", name), text);
    }
    editor.settings = { "mfc.settings": { name: "it's me", other: 1 }, "mfc.allowOutside": "." };
    void activate();
    const spec = await editor.open(join(folder, "specs/a.mfs"), text);
    await run("mfc.plan"); // it waits for the server to start
    await run("mfc.plan", join(folder, "specs/b.mfs"));
    assert.deepEqual(await editor.said(spec.uri, () => true), []);
    await editor.set({ "mfc.settings": { name: "you" }, "mfc.allowOutside": null });
    await run("mfc.plan");
    const options = `--allow-outside ${folder} --set 'name=it'\\''s me'`;
    assert.deepEqual(
        editor.terminals.flatMap((terminal) => terminal.sent),
        [
            `mfc plan ${folder}/specs/a.mfs ${options}`,
            `mfc plan ${folder}/specs/b.mfs ${options}`,
            `mfc plan ${folder}/specs/a.mfs --set name=you`,
        ],
    );
});

test("a code lens runs and plans the training below it", async () => {
    const text = `param epochs: int\n\nmodel net {\n    flatten()\n    linear(digits.classes)\n}\n
data digits: image -> category {\n    source = builtin("digits")\n    split = random(valid = 0.2)\n    label = parent()\n}\n
train fit {\n    data = digits\n    model = net\n    loss = cross_entropy()\n    epochs = epochs\n}\n`;
    writeFileSync(join(folder, "a.mfs"), text);
    editor.settings = { "mfc.settings": { epochs: 1 } };
    await activate();
    const spec = await editor.open(join(folder, "a.mfs"), text);
    const { token } = new editor.api.CancellationTokenSource();
    const lenses = await editor.providers.get("registerCodeLensProvider").provideCodeLenses(spec, token);
    for (const { command } of lenses) {
        await run(command.command, ...command.arguments);
    }
    assert.deepEqual(editor.messages, []);
    assert.deepEqual(
        editor.terminals.flatMap((terminal) => terminal.sent),
        [
            `mfc run ${folder}/a.mfs --set epochs=1 --target fit`,
            `mfc plan ${folder}/a.mfs --set epochs=1 --target fit`,
        ],
    );
});

test("what is run is the spec in front, as it is in the editor", async () => {
    program("mfc", "exit 2");
    await activate();
    editor.messages.length = 0;
    await run("mfc.run");
    assert.deepEqual(editor.messages, ["Open a spec, and save it, to run it."]);
    const spec = await editor.open(join(folder, "a.mfs"), "let a = 1\n");
    spec.isDirty = true;
    await run("mfc.run");
    assert.ok(spec.saved);
    spec.save = async () => false; // the user did not say where to
    await run("mfc.run");
    assert.deepEqual(
        editor.terminals.map((terminal) => terminal.sent),
        [[`mfc run ${folder}/a.mfs`]],
    );
});
