/** `mfc.run` and `mfc.plan`: of code lenses, of the button at a spec's tab, and of the command palette. */

import { dirname } from "node:path";
import * as vscode from "vscode";

import { program } from "./program";
import type { Server } from "./server";
import { line } from "./shell";

/** Types `mfc run FILE --target NAME` into a terminal, with the options that the server says. A code lens gives the
 * address of a spec and the name of a declaration, a menu gives the address alone, the command palette nothing: then it
 * is the spec in the active editor. */
export async function inTerminal(command: "run" | "plan", given: unknown[], server: Server): Promise<void> {
    const [place, target] = given;
    const uri = addressOf(place) ?? vscode.window.activeTextEditor?.document.uri;
    if (uri?.scheme !== "file") {
        await vscode.window.showErrorMessage(`Open a spec, and save it, to ${command} it.`);
        return;
    }
    const document = vscode.workspace.textDocuments.find((open) => open.uri.toString() === uri.toString());
    if (document?.isDirty && !(await document.save())) {
        return;
    }
    const cwd = vscode.workspace.getWorkspaceFolder(uri)?.uri.fsPath ?? dirname(uri.fsPath);
    const words = [program(), command, uri.fsPath, ...(await server.options(uri))]; // terminals may be in any folder
    if (typeof target === "string") {
        words.push("--target", target);
    }
    const name = ["mfc", command, ...(typeof target === "string" ? [target] : [])].join(" ");
    const terminal =
        vscode.window.terminals.find((open) => open.exitStatus === undefined && isFrom(open, name, cwd)) ??
        vscode.window.createTerminal({ name, cwd });
    terminal.show();
    terminal.sendText(line(words, vscode.env.shell));
}

function isFrom(terminal: vscode.Terminal, name: string, cwd: string): boolean {
    const made = terminal.creationOptions;
    return terminal.name === name && "cwd" in made && made.cwd === cwd;
}

function addressOf(place: unknown): vscode.Uri | undefined {
    if (typeof place === "string") {
        return /^[a-z][a-z+.-]+:/i.test(place) ? vscode.Uri.parse(place) : vscode.Uri.file(place);
    }
    return place instanceof vscode.Uri ? place : undefined;
}
