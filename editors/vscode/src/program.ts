/** Which `mfc` the settings mean. */

import { accessSync, constants, statSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, isAbsolute, join, resolve } from "node:path";
import * as vscode from "vscode";

const EXECUTABLE = process.platform === "win32" ? ["", ".exe"] : [""];

/** The program as the settings have it, with what stands for a folder filled in. */
export function program(): string {
    const setting = vscode.workspace.getConfiguration("mfc").get<string>("path", "").trim() || "mfc";
    const folder = vscode.workspace.workspaceFolders?.[0]?.uri.fsPath ?? homedir();
    const path = setting.replaceAll("${workspaceFolder}", folder).replace(/^~(?=[/\\])/, homedir());
    return isAbsolute(path) || !/[/\\]/.test(path) ? path : resolve(folder, path);
}

/** The file that is started for a program, or nothing where there is none. */
export function find(name: string): string | undefined {
    const folders = isAbsolute(name) ? [""] : (process.env.PATH ?? "").split(delimiter).filter(Boolean);
    return folders
        .flatMap((folder) => EXECUTABLE.map((suffix) => join(folder, name + suffix)))
        .find(executable);
}

function executable(file: string): boolean {
    try {
        accessSync(file, constants.X_OK);
        return statSync(file).isFile();
    } catch {
        return false;
    }
}
