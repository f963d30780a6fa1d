import AnnexCore
import AnnexNode
import AnnexServer
import ArgumentParser

extension ArgumentHelp {
    /// Returns a shard's flag as its table describes it.
    static func of(_ setting: ShardTable.Row) -> ArgumentHelp { Self.of(setting, fresh: ShardSettings()) }

    static func of(_ setting: Setting<ServerConfiguration>) -> ArgumentHelp {
        Self.of(setting.within(\ShardSettings.server), fresh: ShardSettings())
    }

    /// Returns a router's flag as its table describes it.
    static func of(_ setting: RouterTable.Row) -> ArgumentHelp { Self.of(setting, fresh: RouterNodeSettings()) }

    private static func of<Settings>(_ setting: Setting<Settings>, fresh: Settings) -> ArgumentHelp {
        let byDefault = setting.defaultText(fresh).map { " (default: \($0))" } ?? ""
        return ArgumentHelp("\(setting.help)\(byDefault)", valueName: setting.placeholder)
    }
}

/// Holds flags that were given, each with its setting.
extension Array {
    /// Applies them; those that were not given change nothing.
    ///
    /// - Throws: `.usage` for a value that a setting cannot have.
    ///
    /// - Parameter origins: learns of each that it was a flag.
    func apply<Settings>(to settings: inout Settings, _ origins: WritableKeyPath<Settings, SettingOrigins>? = nil)
        throws
    where Element == (Setting<Settings>, String?) {
        for (setting, text) in self {
            guard let text else { continue }
            try setting.set(text, in: &settings, label: SettingOrigin.flag.label(setting.name))
            if let origins { settings[keyPath: origins].set(setting.name, .flag) }
        }
    }
}
