import AnnexCore
import AnnexNode
import AnnexRouter
import AnnexServer
import AnnexTestSupport
import Foundation
import Testing

/// The tables of settings, and what is written from them or beside them.
@Suite struct SettingsTests {
    /// A setting of whatever table, with its `Settings` behind closures.
    struct Row: Sendable, CustomTestStringConvertible {
        let name: String
        let bounds: ClosedRange<Int>?
        let byDefault: String?
        /// What the setting is once a text was set; throws where the text is refused.
        let setting: @Sendable (String) throws -> String?

        var testDescription: String { self.name }

        init<Settings>(_ row: Setting<Settings>, _ fresh: @escaping @Sendable () -> Settings) {
            self.name = row.name
            self.bounds = row.bounds
            self.byDefault = row.text(of: fresh())
            self.setting = { text in
                var settings = fresh()
                try row.set(text, in: &settings, label: "--" + row.name)
                return row.text(of: settings)
            }
        }
    }

    static let rows: [Row] =
        ShardTable.all.map { Row($0) { ShardSettings() } } + RouterTable.flags.map { Row($0) { RouterNodeSettings() } }
        + RouterOptions.all.map { Row($0) { RouterSettings() } }

    @Test(arguments: Self.rows) func aDefaultIsAValueThatMayBeSaid(_ row: Row) throws {
        guard let text = row.byDefault else { return }
        #expect(try row.setting(text) == text)
    }

    @Test(arguments: Self.rows.filter { $0.bounds != nil }) func boundsHoldAndTheErrorSaysThem(_ row: Row) throws {
        let bounds = try #require(row.bounds)
        for number in [bounds.lowerBound, bounds.upperBound] { #expect(try row.setting("\(number)") == "\(number)") }
        let outside = [
            "\(bounds.lowerBound - 1)", "\(bounds.upperBound + 1)", "", "x", "1.5", "0x10", "0\(bounds.upperBound)",
            "1:30", "9\u{1B}[31m",
        ]
        for text in outside {
            let error = #expect(throws: AnnexError.self, "\(row.name) \(text)") { try row.setting(text) }
            #expect(error?.code == .usage && error?.message == "--\(row.name) is '\(Printable.escape(text))'")
            let hint = "Give a whole number from \(bounds.lowerBound) to \(bounds.upperBound), in plain digits, as 90"
            #expect(error?.hint == hint)
        }
    }

    @Test func namesAreSaidOnce() {
        for names in [
            ShardTable.all.map(\.name), ShardTable.all.compactMap(\.parameter), RouterTable.flags.map(\.name),
            RouterOptions.all.map(\.name),
        ] { #expect(Set(names).count == names.count) }
        #expect(ShardTable.all.allSatisfy { !$0.sources.contains(.configSet) || $0.parameter != nil })
    }

    /// Lines of a file of the tree.
    private static func lines(_ path: String) throws -> [String] {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        return try String(contentsOf: root.appendingPathComponent(path), encoding: .utf8)
            .split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    }

    /// Each key stands in deploy/annex.yaml, with its default or in a comment.
    @Test func theSampleFileHasEachKeyWithItsDefault() throws {
        let rows = ShardTable.all.filter { $0.sources.contains(.file) }
        let fresh = ShardSettings()
        var said: Set<String> = []
        for line in try Self.lines("deploy/annex.yaml") {
            let isComment = line.hasPrefix("# ")
            let parts = (isComment ? String(line.dropFirst(2)) : line).split(separator: ":", maxSplits: 1)
            guard parts.count == 2, let key = parts.first, !key.contains(" ") else { continue }
            let value = parts[1].drop { $0 == " " }
            let row = rows.first { $0.name == key }
            // A sentence may begin with a word and a colon.
            guard let row else {
                #expect(isComment, "no setting '\(key)'")
                continue
            }
            guard !value.contains(" ") else { continue }
            said.insert(row.name)
            if !isComment { #expect(row.text(of: fresh) == String(value), "\(key)") }
        }
        #expect(said == Set(rows.map(\.name)))
    }

    /// The same of `router:` in deploy/cluster.yaml.
    @Test func theSampleTopologyHasEachKeyOfRouters() throws {
        let lines = try Self.lines("deploy/cluster.yaml")
        let start = try #require(lines.firstIndex(of: "router:"))
        var said: [String: String] = [:]
        for line in lines[(start + 1)...] where line.hasPrefix("  ") && !line.hasPrefix("  #") {
            let parts = line.split(separator: ":").map { $0.trimmingCharacters(in: .whitespaces) }
            said[parts[0]] = parts[1]
        }
        let defaults = RouterOptions.all.map { ($0.name, $0.text(of: RouterSettings()) ?? "") }
        #expect(said == Dictionary(uniqueKeysWithValues: defaults))
    }

    /// What contradicts something else is named as whoever wrote it knows it.
    @Test(arguments: [
        ("durability: interval:5", "'durability' needs 'state'", "--durability needs --state"),
        ("log: redis://h:1", "'log' needs 'state'", "--log needs --state"),
        ("ack: log", "'ack' needs 'log'", "--ack needs --log"),
        ("max-lag: 5", "'max-lag' needs 'log'", "--max-lag needs --log"),
        ("cold-half-life: 5", "'cold-half-life' is for 'cold' popular", "--cold-half-life is for --cold popular"),
        ("host: 0.0.0.0", "'host' is '0.0.0.0', which can be reached", "--host is '0.0.0.0', which can be reached"),
        ("state: s\nlog: http://h", "'log' is no address of a log", "--log is no address of a log"),
    ])
    func aContradictionIsNamedWhereItWasWritten(_ text: String, _ inFile: String, _ asFlag: String) throws {
        var settings = ShardSettings()
        try SettingsFile.apply(text: text, at: "x/annex.yaml", to: &settings)
        let error = #expect(throws: AnnexError.self) { try settings.validate() }
        #expect(error?.message.hasPrefix(inFile) == true && error?.location == "x/annex.yaml", "\(error as Any)")
        settings.origins = SettingOrigins()
        let flag = #expect(throws: AnnexError.self) { try settings.validate() }
        #expect(flag?.message.hasPrefix(asFlag) == true && flag?.location == nil, "\(flag as Any)")
    }

    @Test func aPasswordThatNobodyCouldSendIsRefused() throws {
        var settings = ShardSettings()
        try SettingsFile.apply(text: "argument-bytes: 512", at: "x/annex.yaml", to: &settings)
        settings.password = String(repeating: "p", count: 512)
        try settings.validate()
        settings.password? += "p"
        let error = #expect(throws: AnnexError.self) { try settings.validate() }
        #expect(error?.message == "--password-file has a password of 513 bytes, and no client may send more than 512")
    }

    @Test func aFileIsReadBesideItself() throws {
        let folder = try TemporaryFolder()
        let path = folder.file("annex.yaml")
        try "secret\nmore\n".write(toFile: folder.file("password"), atomically: true, encoding: .utf8)
        try "port: 1234\nidle-timeout: 9\nstate: kept\npassword-file: password\ncold: popular\nwatch: 0.5\n"
            .write(toFile: path, atomically: true, encoding: .utf8)
        var settings = ShardSettings()
        try SettingsFile.apply(path, to: &settings)
        #expect(settings.server.port == 1_234 && settings.server.idleTimeout == .seconds(9))
        #expect(settings.stateFolder == folder.file("kept") && settings.password == "secret")
        #expect(settings.server.passwordHash != nil && settings.cold == .popular && settings.watchSeconds == 0.5)
        for (text, why) in [
            ("ports: 1", "unknown key 'ports'"), ("port: x", "'port' is 'x'"),
            ("port: [1]", "'port' is not a single value"),
            ("cold: warm", "'cold' is 'warm'"), ("engine: faiss", "unknown key 'engine'"),
            ("max-lag: 0.2", "'max-lag' is '0.2'"),
            ("durability: never", "'durability' is commit or interval:MS"), ("- port", "a configuration is a list"),
            ("port: 0x10", "'port' is '0x10'"), ("idle-timeout: 010", "'idle-timeout' is '010'"),
            ("idle-timeout: 1:30", "'idle-timeout' is '1:30'"), ("watch: 0x10", "'watch' is '0x10'"),
            ("max-connections: 1_000", "'max-connections' is '1_000'"),
            ("durability: interval:010", "'durability' is commit"),
            ("password-file: none", "'password-file' names \(folder.file("none")): cannot read"),
        ] {
            try text.write(toFile: path, atomically: true, encoding: .utf8)
            var settings = ShardSettings()
            let error = #expect(throws: AnnexError.self) { try SettingsFile.apply(path, to: &settings) }
            #expect(error?.message.hasPrefix(why) == true && error?.location == path, "\(text)")
        }
    }
}
