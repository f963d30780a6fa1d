import Foundation

enum WorkingFolder {
    /// A file that a flag names, wherever the recipe lies.
    static func absolute(_ file: String) -> String {
        file.hasPrefix("/") ? file : FileManager.default.currentDirectoryPath + "/" + file
    }
}
