/** The language server `mfc lsp`, and what is said where it can't be started. */

import { execFile } from "node:child_process";
import { promisify } from "node:util";
import * as vscode from "vscode";
import { type Executable, ExecuteCommandRequest, LanguageClient } from "vscode-languageclient/node";

import { find, program } from "./program";

export class Server {
    #client: LanguageClient | undefined;
    #last: Promise<void> = Promise.resolve();

    constructor(private readonly output: vscode.LogOutputChannel) {}

    /** Starts the server by the settings, after the one that runs has ended. */
    restart(): Promise<void> {
        return this.#inTurn(async () => {
            await this.#stop();
            await this.#start();
        });
    }

    stop(): Promise<void> {
        return this.#inTurn(() => this.#stop());
    }

    /** The options of a command line that mean what the settings do to a spec as it was saved. Where no server runs,
     * nothing was checked with them. */
    async options(spec: vscode.Uri): Promise<string[]> {
        await this.#last;
        const client = this.#client;
        if (!client?.isRunning()) {
            return [];
        }
        const uri = client.code2ProtocolConverter.asUri(spec);
        return client.sendRequest(ExecuteCommandRequest.type, { command: "mfc.options", arguments: [uri] });
    }

    /** One after the other, so that no two servers are started by settings that change in quick succession. */
    #inTurn(what: () => Promise<void>): Promise<void> {
        return (this.#last = this.#last.then(what, what));
    }

    async #start(): Promise<void> {
        const name = program();
        const command = find(name);
        if (command === undefined) {
            void missing(name);
            return;
        }
        try {
            await promisify(execFile)(command, ["lsp", "--help"]); // the client has ten messages for one that fails
        } catch (error) {
            this.output.error(String(error));
            void unfit(command, this.output);
            return;
        }
        const args = vscode.workspace.getConfiguration("mfc").get<string[]>("args", []);
        const server: Executable = { command, args: ["lsp", ...args] };
        const client = new LanguageClient("mfc", "mfc", server, {
            documentSelector: [
                { scheme: "file", language: "mfs" },
                { scheme: "untitled", language: "mfs" },
            ],
            outputChannel: this.output,
            synchronize: { configurationSection: ["mfc.settings", "mfc.allowOutside", "mfc.hints"] },
        });
        this.#client = client;
        await client.start().catch(() => {}); // the client has told of it
    }

    async #stop(): Promise<void> {
        const client = this.#client;
        this.#client = undefined;
        await client?.dispose().catch(() => {}); // one that never ran can't be stopped
    }
}

async function missing(name: string): Promise<void> {
    const chosen = await vscode.window.showErrorMessage(
        name === "mfc"
            ? "`mfc` is not on the PATH, so specs have colours only. Install it with `pip install mfc`, or say in the setting `mfc.path` where it is."
            : `There is no program \`${name}\`, which the setting \`mfc.path\` names, so specs have colours only.`,
        "Open Settings",
        "Try Again",
    );
    if (chosen === "Open Settings") {
        await vscode.commands.executeCommand("workbench.action.openSettings", "mfc.path");
    } else if (chosen === "Try Again") {
        await vscode.commands.executeCommand("mfc.restart");
    }
}

async function unfit(command: string, output: vscode.LogOutputChannel): Promise<void> {
    const chosen = await vscode.window.showErrorMessage(
        `\`${command}\` has no language server that starts, so specs have colours only. If it is too old, \`pip install --upgrade mfc\` helps.`,
        "Show Output",
    );
    if (chosen === "Show Output") {
        output.show();
    }
}
