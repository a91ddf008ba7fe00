// As much of VS Code's API as the extension and its language client use, without VS Code: what an extension registers is
// kept, and a test opens documents, changes settings and asks the registered providers as an editor would.

import Module from "node:module";
import { fileURLToPath, pathToFileURL } from "node:url";

class Uri {
    constructor(text) {
        this.text = text;
        this.scheme = text.slice(0, text.indexOf(":"));
        this.fsPath = this.scheme === "file" ? fileURLToPath(text) : text.slice(this.scheme.length + 1);
        this.path = this.fsPath;
    }
    static parse = (text) => new Uri(text);
    static file = (path) => new Uri(pathToFileURL(path).href);
    toString = () => this.text;
}

class Position {
    constructor(line, character) {
        Object.assign(this, { line, character });
    }
}

class Range {
    constructor(start, end, line, character) {
        this.start = end instanceof Position ? start : new Position(start, end);
        this.end = end instanceof Position ? end : new Position(line, character);
    }
}

class Diagnostic {
    constructor(range, message, severity) {
        Object.assign(this, { range, message, severity });
    }
}

class MarkdownString {
    constructor(value = "") {
        this.value = value;
    }
    appendMarkdown(value) {
        this.value += value;
        return this;
    }
}

class CodeActionKind {
    static Empty = new CodeActionKind("");
    constructor(value) {
        this.value = value;
    }
    append = (part) => new CodeActionKind(this.value ? `${this.value}.${part}` : part);
}

class CancellationTokenSource {
    token = { isCancellationRequested: false, onCancellationRequested: () => disposable() };
    cancel() {}
    dispose() {}
}

class EventEmitter {
    listeners = new Set();
    event = (listener, self, disposables) => {
        const bound = self ? listener.bind(self) : listener;
        this.listeners.add(bound);
        const registered = disposable(() => this.listeners.delete(bound));
        disposables?.push(registered);
        return registered;
    };
    fire = (value) => Promise.all([...this.listeners].map((listener) => listener(value)));
    dispose = () => this.listeners.clear();
}

class Disposable {
    constructor(dispose) {
        this.dispose = dispose;
    }
    static from = (...all) => new Disposable(() => all.forEach((each) => each.dispose()));
}

const disposable = (dispose = () => {}) => new Disposable(dispose);

/** What VS Code has and the tests do not look at: any class, any enumeration, any event. */
function anything(known) {
    return new Proxy(known, {
        get(target, name) {
            if (name in target || typeof name === "symbol" || name === "then" || name === "default") {
                return target[name];
            }
            if (/^on[A-Z]/.test(name)) {
                return (target[name] = new EventEmitter().event);
            }
            if (/^[A-Z]/.test(name)) {
                return (target[name] = anything(
                    class {
                        constructor(...given) {
                            this.given = given;
                        }
                    },
                ));
            }
            return undefined;
        },
        has: () => true,
    });
}

/** An editor with an open folder, settings, and the extension's program, which is `activate`d by the test. */
export class Editor {
    settings = {};
    chosen = undefined; // the button that is pressed in messages
    messages = [];
    terminals = [];
    commands = new Map();
    providers = new Map();
    diagnostics = new Map();
    documents = [];
    #published = new EventEmitter();
    #opened = new EventEmitter();
    #changed = new EventEmitter();
    #configured = new EventEmitter();

    constructor(folder) {
        this.folder = { uri: Uri.file(folder), name: "folder", index: 0 };
        this.api = anything({
            __esModule: true, // compiled modules take it as it is, and not a copy of the names that it has
            Uri,
            Position,
            Range,
            Diagnostic,
            MarkdownString,
            CodeActionKind,
            CancellationTokenSource,
            EventEmitter,
            Disposable,
            version: "1.91.0",
            env: anything({ appName: "test", language: "en", shell: "/bin/bash" }),
            commands: {
                registerCommand: (name, run) => {
                    if (this.commands.has(name)) {
                        throw new Error(`command '${name}' already exists`);
                    }
                    this.commands.set(name, run);
                    return disposable(() => this.commands.delete(name));
                },
                executeCommand: async (name, ...given) => this.commands.get(name)?.(...given),
            },
            window: anything({
                createOutputChannel: () => this.#output(),
                createTerminal: (options) => this.#terminal(options),
                showErrorMessage: async (text) => this.#message(text),
                showWarningMessage: async (text) => this.#message(text),
                showInformationMessage: async (text) => this.#message(text),
                tabGroups: anything({ all: [] }),
                terminals: this.terminals,
                visibleTextEditors: [],
            }),
            workspace: anything({
                getConfiguration: (section) => ({
                    get: (name, otherwise) =>
                        this.#setting(section ? `${section}.${name}` : name) ?? otherwise,
                }),
                getWorkspaceFolder: (uri) => (uri.fsPath.startsWith(folder) ? this.folder : undefined),
                createFileSystemWatcher: () => anything({ dispose() {} }),
                fs: anything({}),
                notebookDocuments: [],
                onDidChangeConfiguration: this.#configured.event,
                onDidChangeTextDocument: this.#changed.event,
                onDidOpenTextDocument: this.#opened.event,
                textDocuments: this.documents,
                workspaceFolders: [this.folder],
            }),
            languages: new Proxy(
                {
                    match: (selector, document) =>
                        [selector].flat().some((filter) => filter.language === document.languageId) ? 10 : 0,
                    createDiagnosticCollection: () => ({
                        set: (uri, found) => this.#publish(uri, found),
                        delete: (uri) => this.#publish(uri, []),
                        clear: () => this.diagnostics.clear(),
                        dispose: () => this.diagnostics.clear(),
                    }),
                },
                { get: (known, name) => known[name] ?? ((_, ...given) => this.#register(name, given)) },
            ),
        });
    }

    /** The extension's program, which gets this editor where it asks for `vscode`. */
    load(file) {
        const load = Module._load;
        Module._load = (name, ...rest) => (name === "vscode" ? this.api : load(name, ...rest));
        try {
            const path = fileURLToPath(new URL(file, import.meta.url));
            delete Module._cache[path];
            return Module.createRequire(import.meta.url)(path);
        } finally {
            Module._load = load;
        }
    }

    async open(path, text) {
        const lines = text.split("\n");
        const document = {
            uri: Uri.file(path),
            fileName: path,
            languageId: "mfs",
            version: 1,
            isDirty: false,
            isClosed: false,
            lineCount: lines.length,
            getText: () => text,
            save: async () => (document.saved = true),
        };
        this.documents.push(document);
        this.api.window.activeTextEditor = { document };
        await this.#opened.fire(document);
        return document;
    }

    /** Replaces the text of a document as somebody would who types it. */
    async type(document, text) {
        const range = new Range(0, 0, document.lineCount, 0);
        document.getText = () => text;
        document.lineCount = text.split("\n").length;
        document.version += 1;
        await this.#changed.fire({ document, contentChanges: [{ range, text }] });
    }

    async set(settings) {
        Object.assign(this.settings, settings);
        await this.#configured.fire({
            affectsConfiguration: (name) =>
                Object.keys(settings).some((key) => `${key}.`.startsWith(`${name}.`)),
        });
    }

    /** What is said about a file, as soon as that is so. */
    async said(uri, isSo) {
        const found = () => this.diagnostics.get(uri.toString());
        while (!(found() && isSo(found()))) {
            await new Promise((resolve) => {
                const registered = this.#published.event(() => resolve(registered.dispose()));
            });
        }
        return found();
    }

    #publish(uri, found) {
        this.diagnostics.set(uri.toString(), found ?? []);
        void this.#published.fire();
    }

    /** A setting, or all of a section. */
    #setting(name) {
        const within = Object.keys(this.settings).filter((key) => key.startsWith(`${name}.`));
        if (!within.length) {
            return this.settings[name];
        }
        return Object.fromEntries(within.map((key) => [key.slice(name.length + 1), this.settings[key]]));
    }

    #register(name, given) {
        this.providers.set(name, given[0]);
        return disposable();
    }

    #message(text) {
        this.messages.push(text);
        const chosen = this.chosen;
        this.chosen = undefined;
        return chosen;
    }

    #output() {
        const written = [];
        this.output = written;
        const write = (text) => written.push(String(text));
        const channel = { append: write, appendLine: write, show() {}, dispose() {} };
        return anything(
            Object.assign(channel, { trace: write, debug: write, info: write, warn: write, error: write }),
        );
    }

    #terminal(options) {
        const terminal = {
            ...options,
            creationOptions: options,
            exitStatus: undefined,
            sent: [],
            show() {},
            sendText: (text) => terminal.sent.push(text),
        };
        this.terminals.push(terminal);
        return terminal;
    }
}
