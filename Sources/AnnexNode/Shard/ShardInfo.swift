import AnnexEngine
import AnnexServer
import AnnexShard

/// Makes INFO's sections of a shard, which have a line for each index.
enum ShardInfo {
    static func sections(_ engine: Engine) -> [InfoSection] {
        let versions = engine.versions
        func section(_ title: String, _ line: (ServedVersion) -> String?) -> InfoSection {
            InfoSection(
                title,
                versions.compactMap { version in
                    line(version).map { ("\(title.lowercased())_\(version.description.index)", $0) }
                }
            )
        }
        return [
            InfoSection("Indexes", versions.map { ("index_\($0.description.index)", VersionInfo.line($0, engine)) }),
            section("Users") { VersionInfo.usersLine($0) },
            section("State") { VersionInfo.stateLine($0) },
            section("Log") { VersionInfo.logLine($0) },
        ]
    }
}
