import AnnexBuild
import AnnexCore
import AnnexNode
import ArgumentParser
import Foundation

/// Names the index that a command is about.
struct IndexArgument: ParsableArguments {
    @Argument(help: ArgumentHelp("The index's folder.", valueName: "indexes/NAME")) var folder: String
    @Option(help: "A version's name. (default: what `current` names)") var version: String?

    func versionName() throws -> EntryName? { try self.version.map { try Self.version($0, of: self.folder) } }

    static func version(_ text: String, of folder: String) throws -> EntryName {
        guard let name = EntryName(text) else {
            let hint = "See `annctl list \(folder)`"
            throw AnnexError(.usage, "'\(Printable.escape(text))' is no version's name", hint: hint)
        }
        return name
    }

    func resolved() throws -> EntryName {
        if let name = try self.versionName() { return name }
        return try PublishedVersions.requiredCurrent(of: self.folder)
    }
}

struct ListCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "list", abstract: "List the versions of an index.")
    @Argument(help: ArgumentHelp("The index's folder.", valueName: "indexes/NAME")) var folder: String
    @Flag(help: "Print JSON.") var json = false

    private struct Row: Encodable {
        var version: String
        var current: Bool
        var items: Int?
        var users: Int?
        var kind: String?
        var recall: Double?
        var bytes: Int?
        var problem: String?
    }

    func run() throws {
        // The versions are what somebody looks for whose `current` is lost.
        var current: EntryName?
        do throws(AnnexError) { current = try PublishedVersions.current(of: self.folder) } catch {
            guard error.code == .damaged else { throw error }
            FileHandle.standardError.write(Data("annctl: \(error)\n".utf8))
        }
        let rows = try PublishedVersions.versions(of: self.folder).map { version in
            var row = Row(version: version.value, current: version == current)
            do {
                let manifest = try Verifier.manifest(PublishedVersions.folder(of: self.folder, version))
                (row.items, row.users, row.kind) = (manifest.items, manifest.users, manifest.kind)
                row.recall = manifest.measured.reportedRecall
                row.bytes = manifest.files.reduce(0) { $0 + $1.bytes }
            } catch { row.problem = "\(error)" }
            return row
        }
        if self.json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            return print(String(decoding: try encoder.encode(rows), as: UTF8.self))
        }
        var table = TextTable(
            headings: ["version", "", "kind", "items", "users", "recall@10", "size"],
            rightAligned: [3, 4, 5, 6]
        )
        for row in rows {
            table.rows.append([
                row.version, row.current ? "current" : "", row.kind ?? "unreadable", row.items.map(String.init) ?? "",
                row.users.map(String.init) ?? "", row.recall.map { Figures.fixed($0, 4) } ?? "",
                row.bytes.map(Figures.bytes) ?? "",
            ])
        }
        print(rows.isEmpty ? "no versions" : table.render())
        // The file of each stands in its text.
        for problem in rows.compactMap(\.problem) { print("unreadable: \(problem)") }
    }
}

struct InspectCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "inspect",
        abstract: "Show what a version is made of and what recall it measured."
    )
    @OptionGroup var index: IndexArgument
    @Flag(help: "Print the manifest.") var json = false

    func run() throws {
        let version = try self.index.resolved()
        let folder = PublishedVersions.folder(of: self.index.folder, version)
        let manifest = try Verifier.manifest(folder)
        if self.json { return print(String(decoding: try manifest.encoded(), as: UTF8.self), terminator: "") }
        var facts = TextTable(headings: ["field", "value"])
        facts.rows = [
            ["version", version.value], ["index", manifest.index], ["kind", manifest.kind],
            ["metric", manifest.metric],
            ["dimension", "\(manifest.dimension)"], ["items", "\(manifest.items)"],
            ["with attributes", "\(manifest.itemsWithAttributes)"], ["users", "\(manifest.users)"],
            ["rejected rows", "\(manifest.rejectedRows)"], ["seed", "\(manifest.seed)"],
        ]
        if let missing = manifest.measured.unreachableItems { facts.rows.append(["unreachable items", "\(missing)"]) }
        if let added = manifest.measured.linksAdded { facts.rows.append(["links added for them", "\(added)"]) }
        if let tried = manifest.measured.itemsLookedFor, let missed = manifest.measured.itemsMissed {
            facts.rows.append(["not found by a walk to them", "\(missed) of \(tried)"])
            facts.rows.append(["links added for that", "\(manifest.measured.bridgesAdded ?? 0)"])
        }
        facts.rows += BiasText.rows(manifest) + FoldInText.rows(manifest)
        for source in manifest.sources {
            facts.rows.append([source.role, "\(source.file), SHA-256 \(source.sha256.prefix(16))…"])
        }
        print(facts.render() + "\n")
        print("recall@10 on \(manifest.measured.queryCount) held-out queries (\(manifest.measured.queries)):")
        print(MeasuredTable.render(manifest.measured))
        print(
            "On the other half: \(Figures.fixed(manifest.measured.reportedRecall, 4)), worst query \(Figures.fixed(manifest.measured.reportedWorst, 2))"
        )
        if let most = manifest.measuredLeavingOut { print(MeasuredTable.line(most)) }
        print("")
        var files = TextTable(headings: ["file", "size", "SHA-256"], rightAligned: [1])
        files.rows = manifest.files.map { [$0.path, Figures.bytes($0.bytes), String($0.sha256.prefix(16)) + "…"] }
        print(files.render())
    }
}

struct VerifyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Compare every byte of a version with its manifest."
    )
    @OptionGroup var index: IndexArgument
    @Flag(help: "Every version, not only one. The first damaged one ends it.") var all = false

    func validate() throws {
        guard !self.all || self.index.version == nil else {
            throw ValidationError("--all and --version exclude one another")
        }
    }

    func run() throws {
        guard self.all else { return try self.verify(self.index.versionName()) }
        for version in try PublishedVersions.versions(of: self.index.folder) { try self.verify(version) }
    }

    private func verify(_ version: EntryName?) throws {
        let begin = Date()
        let verified = try Verifier.verify(indexFolder: self.index.folder, version: version)
        _ = try VersionLoading.load(verified)
        let bytes = verified.manifest.files.reduce(0) { $0 + $1.bytes }
        print(
            "\(verified.version): \(verified.manifest.files.count) files, \(Figures.bytes(bytes)), all as in the manifest "
                + "(\(Figures.fixed(Date().timeIntervalSince(begin), 2)) s)"
        )
    }
}

struct RollbackCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rollback",
        abstract: "Point `current` to the version before it; to the newest where `current` was lost.",
        discussion: "The version is checked as `verify` does it first. A running server takes it over with RELOAD."
    )
    @Argument(help: ArgumentHelp("The index's folder.", valueName: "indexes/NAME")) var folder: String

    func run() throws {
        let (from, to) = try PublishedVersions.rollBack(self.folder, proof: VersionLoading.prove)
        print("current: \(to) (\(from.map { "was \($0)" } ?? "none was"))")
    }
}

struct UseCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "use",
        abstract: "Make a version current, also where `current` was lost or copied.",
        discussion: """
            The version is checked as `verify` does it first. A running server takes it over with RELOAD. `annctl list` shows \
            the versions.

            Tools that copy an index without its links (object stores, zip, cp -L) lose `current` or make a copy of it: this \
            puts the link back.
            """
    )
    @Argument(help: ArgumentHelp("The index's folder.", valueName: "indexes/NAME")) var folder: String
    @Argument(help: "The version's name.") var version: String

    func run() throws {
        let version = try IndexArgument.version(self.version, of: self.folder)
        let from = try PublishedVersions.use(version, of: self.folder, proof: VersionLoading.prove)
        print("current: \(version) (\(from.map { "was \($0)" } ?? "none was"))")
    }
}

struct PruneCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "prune",
        abstract: "Remove old versions; never the current one."
    )
    @Argument(help: ArgumentHelp("The index's folder.", valueName: "indexes/NAME")) var folder: String
    @Option(help: "How many of the newest to keep, at least 1.") var keep: Int

    func run() throws {
        let gone = try PublishedVersions.prune(self.folder, keep: self.keep)
        for version in gone { print("removed \(version)") }
        print("\(gone.count) removed, \(try PublishedVersions.versions(of: self.folder).count) left")
    }
}
