package import AnnexCore
import Foundation
import Yams

/// Reads a file of settings: `key: value` lines of YAML.
package enum SettingsFile {
    /// Lists every key that a file of a shard may have.
    static var keys: [String] { ShardTable.all.filter { $0.sources.contains(.file) }.map(\.name).sorted() }

    /// Applies a file. Paths in it are relative to it.
    ///
    /// - Throws: `.usage`, with the file, for an unknown key, a key that is there twice, and a value that a setting cannot have.
    package static func apply(_ path: String, to settings: inout ShardSettings) throws(AnnexError) {
        guard let data = FileManager.default.contents(atPath: path), data.count <= 1 << 20 else {
            throw AnnexError(
                .usage,
                "cannot read the configuration",
                at: path,
                hint: "Give a YAML file of at most 1 MiB"
            )
        }
        try Self.apply(text: String(decoding: data, as: UTF8.self), at: path, to: &settings)
    }

    package static func apply(text: String, at path: String, to settings: inout ShardSettings) throws(AnnexError) {
        func bad(_ why: String) -> AnnexError {
            AnnexError(.usage, why, at: path, hint: "Keys: " + Self.keys.joined(separator: ", "))
        }
        let node: Node?
        do { node = try Yams.compose(yaml: text) } catch { throw bad("not YAML: \(error)") }
        guard let node, node.null == nil else { return }
        guard case .mapping(let mapping) = node else { throw bad("a configuration is a list of 'key: value' lines") }
        let folder = (path as NSString).deletingLastPathComponent
        for (keyNode, value) in mapping {
            let key = keyNode.string ?? ""
            let row = ShardTable.all.first { $0.name == key && $0.sources.contains(.file) }
            guard let row else { throw bad("unknown key '\(Printable.escape(key))'") }
            guard let text = value.scalar?.string, value.null == nil else {
                throw bad("'\(key)' is not a single value")
            }
            do throws(AnnexError) {
                let origin = SettingOrigin.file(path)
                try row.set(text, in: &settings, label: origin.label(key), relativeTo: folder)
                settings.origins.set(key, origin)
            } catch { throw AnnexError(error.code, error.message, at: path, hint: error.hint) }
        }
    }
}
