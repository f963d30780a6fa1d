/// The place where a setting was given, so that an error names it as its reader wrote it.
package enum SettingOrigin: Sendable, Equatable {
    case flag
    /// A file, by its path.
    case file(String)

    /// The setting's name as it was written there: `--port`, or `'port'`.
    package func label(_ name: String) -> String {
        switch self {
        case .flag: "--\(name)"
        case .file: "'\(name)'"
        }
    }

    /// The file, for an error's location.
    package var location: String? {
        switch self {
        case .flag: nil
        case .file(let path): path
        }
    }
}

/// The places where settings were given, by name.
package struct SettingOrigins: Sendable, Equatable {
    private var given: [String: SettingOrigin] = [:]

    package init() {}

    package mutating func set(_ name: String, _ origin: SettingOrigin) { self.given[name] = origin }

    /// A setting that was not given would have been a flag.
    package subscript(_ name: String) -> SettingOrigin { self.given[name] ?? .flag }

    /// An error about a setting.
    ///
    /// - Parameter text: the rest of a sentence that begins with the setting's name.
    package func error(_ name: String, _ text: String, hint: String? = nil) -> AnnexError {
        let origin = self[name]
        return AnnexError(.usage, "\(origin.label(name)) \(text)", at: origin.location, hint: hint)
    }
}
