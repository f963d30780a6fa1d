package import AnnexCore
import AnnexFormats
import AnnexIndex
import AnnexStore
import Foundation

/// What a build has come to.
package struct BuildProgress: Sendable {
    package enum Stage: String, Sendable, CaseIterable {
        case sources = "hashing sources"
        case items = "reading items"
        case users = "reading users"
        case index = "building the index"
        case recall = "measuring recall"
        case publish = "publishing"
    }

    package let stage: Stage
    /// Of the stage, 0 to 1.
    package let fraction: Double
}

package struct BuildResult: Sendable {
    package let version: EntryName
    package let folder: String
    package let manifest: Manifest
    /// Mean microseconds per query at the chosen operating point, one thread.
    package let microsPerQuery: Double
    package let rejectsFile: String?
}

/// Recipe in, published version out.
package struct BuildPipeline {
    private let recipe: Recipe
    private let indexFolder: String
    private let threads: Int
    private let progress: (BuildProgress) -> Void
    private var seconds: [(BuildProgress.Stage, Double)] = []
    private var rejects: [(file: String, row: RejectedRow)] = []

    /// - Parameters:
    ///   - indexFolder: `indexes/NAME`; its last part must be the recipe's name.
    ///   - threads: 1 to 1,024; with one, the same input gives the same bytes.
    package init(
        recipe: Recipe, indexFolder: String, threads: Int, progress: @escaping (BuildProgress) -> Void
    ) {
        self.recipe = recipe
        self.indexFolder = indexFolder
        self.threads = threads
        self.progress = progress
    }

    /// Blocks until the version is published. Nothing is left behind where it throws.
    package mutating func run() throws -> BuildResult {
        try self.recipe.validate()
        let started = Date()
        let publisher = try Publisher(indexFolder: self.indexFolder)
        let sources = try self.timed(.sources) { pipeline in try pipeline.hashSources() }

        var items = MatrixIngest(
            vectors: self.recipe.resolve(self.recipe.vectors), ids: self.recipe.ids.map(self.recipe.resolve),
            what: "items", skipBadRows: self.recipe.skipBadRows)
        let withAttributes = try self.timed(.items) { pipeline in
            try items.run(to: publisher.path(VersionLayout.vectors)) { pipeline.tell(.items, $0 * 0.9) }
            return try pipeline.writeItems(items.identifiers, to: publisher.path(VersionLayout.items))
        }
        self.rejects += items.rejects
        let vectors = try VectorFile(
            path: publisher.path(VersionLayout.vectors), rows: items.identifiers.count, dimension: items.dimension)

        let users = try self.timed(.users) { pipeline in try pipeline.readUsers(publisher, dimension: items.dimension) }
        let kind = try self.recipe.kind(rows: vectors.rows)
        let index = try self.timed(.index) { pipeline in
            let index = try VectorIndex.build(
                kind: kind, metric: pipeline.recipe.metric, vectors: vectors, seed: pipeline.recipe.seed,
                threads: pipeline.threads) { pipeline.tell(.index, $0) }
            try index.write(path: publisher.path(VersionLayout.index))
            return index
        }
        let outcome = try self.timed(.recall) { pipeline in
            let queries = users.queries ?? RecallMeasurement.items(vectors, seed: pipeline.recipe.seed)
            return try queries.run(
                index: index, vectors: vectors, target: pipeline.recipe.recall, threads: pipeline.threads
            ) { pipeline.tell(.recall, $0) }
        }
        return try self.timed(.publish) { pipeline in
            let manifest = Manifest(
                index: pipeline.recipe.name.value, metric: pipeline.recipe.metric.rawValue, kind: kind.description,
                dimension: items.dimension, storedDimension: items.dimension, items: items.identifiers.count,
                users: users.count, itemsWithAttributes: withAttributes, rejectedRows: pipeline.rejects.count,
                seed: pipeline.recipe.seed, sources: sources, measured: outcome.measured,
                files: try VersionLayout.files(withUsers: users.count > 0).map { file in
                    let (hex, bytes) = try FileHash.sha256(publisher.path(file))
                    return Manifest.FileEntry(path: file, bytes: bytes, sha256: hex)
                })
            let rejectsFile = try pipeline.writeRejects()
            let report = try BuildReport.data(
                started: started, seconds: pipeline.seconds, threads: pipeline.threads, micros: outcome.micros,
                table: outcome.measured.table)
            let version = try publisher.publish(manifest: manifest, report: report)
            return BuildResult(
                version: version, folder: Catalogue.folder(of: pipeline.indexFolder, version), manifest: manifest,
                microsPerQuery: outcome.micros.last ?? 0, rejectsFile: rejectsFile)
        }
    }

    // MARK: Stages

    private func tell(_ stage: BuildProgress.Stage, _ fraction: Double) {
        self.progress(BuildProgress(stage: stage, fraction: min(1, max(0, fraction))))
    }

    private mutating func timed<R>(_ stage: BuildProgress.Stage, _ body: (inout BuildPipeline) throws -> R) throws -> R {
        let begin = DispatchTime.now().uptimeNanoseconds
        self.tell(stage, 0)
        let result = try body(&self)
        self.tell(stage, 1)
        self.seconds.append((stage, Double(DispatchTime.now().uptimeNanoseconds - begin) / 1e9))
        return result
    }

    private func hashSources() throws -> [Manifest.Source] {
        var sources: [Manifest.Source] = []
        for (role, file) in [
            ("vectors", self.recipe.vectors as String?), ("ids", self.recipe.ids), ("attributes", self.recipe.attributes),
            ("users", self.recipe.users), ("user-ids", self.recipe.userIDs),
        ] {
            guard let file else { continue }
            let path = FactorSource(self.recipe.resolve(file)).path
            do {
                let (hex, bytes) = try FileHash.sha256(path, followLinks: true)
                sources.append(Manifest.Source(role: role, file: (file as NSString).lastPathComponent, bytes: bytes, sha256: hex))
            } catch {
                throw AnnexError(.badInput, error.message, at: path, hint: "This is the file given as '\(role)'")
            }
        }
        return sources
    }

    /// Returns how many items have attributes.
    private mutating func writeItems(_ identifiers: [Identifier], to path: String) throws -> Int {
        var attributes = [[UInt8]?](repeating: nil, count: self.recipe.attributes == nil ? 0 : identifiers.count)
        var found = 0
        if let file = self.recipe.attributes.map(self.recipe.resolve) {
            let reader = try AttributeReader(path: file)
            while let entry = try reader.next() {
                let ordinal = Self.search(identifiers, entry.identifier)
                let problem =
                    ordinal == nil
                    ? "there is no item '\(entry.identifier)'"
                    : ordinal.flatMap { attributes[$0] } != nil ? "the item '\(entry.identifier)' had attributes in an earlier row" : nil
                if let problem {
                    guard self.recipe.skipBadRows else {
                        throw AnnexError(.badInput, problem, at: "\(file):\(entry.row)", hint: "Mend it, or give --skip-bad-rows")
                    }
                    self.rejects.append((file, RejectedRow(row: entry.row, column: nil, reason: problem)))
                } else if let ordinal {
                    attributes[ordinal] = entry.json
                    found += 1
                }
            }
        }
        let writer = try ItemStoreWriter(path: path)
        for (ordinal, id) in identifiers.enumerated() {
            try writer.append(id, attributes: attributes.isEmpty ? nil : attributes[ordinal])
        }
        try writer.finish()
        return found
    }

    private static func search(_ identifiers: [Identifier], _ id: Identifier) -> Int? {
        var low = 0
        var high = identifiers.count
        while low < high {
            let middle = (low + high) / 2
            if identifiers[middle] < id { low = middle + 1 } else { high = middle }
        }
        return low < identifiers.count && identifiers[low] == id ? low : nil
    }

    private mutating func readUsers(
        _ publisher: Publisher, dimension: Int
    ) throws -> (count: Int, queries: RecallMeasurement?) {
        guard let file = self.recipe.users else { return (0, nil) }
        var users = MatrixIngest(
            vectors: self.recipe.resolve(file), ids: self.recipe.userIDs.map(self.recipe.resolve), what: "users",
            skipBadRows: self.recipe.skipBadRows)
        let sortedPath = publisher.path(".users.f32")
        try users.run(to: sortedPath) { self.tell(.users, $0 * 0.7) }
        guard users.dimension == dimension else {
            throw AnnexError(
                .badInput, "the users have \(users.dimension) dimensions, the items \(dimension)",
                at: self.recipe.resolve(file), hint: "The two files must come from the same model")
        }
        self.rejects += users.rejects
        let sorted = try VectorFile(path: sortedPath, rows: users.identifiers.count, dimension: dimension)
        let writer = try UserStoreWriter(folder: publisher.path(VersionLayout.users), dimension: dimension)
        for (row, id) in users.identifiers.enumerated() { try sorted.withRow(row) { try writer.append(id, vector: $0) } }
        try writer.finish()
        let queries = RecallMeasurement.users(sorted, seed: self.recipe.seed)
        try FileManager.default.removeItem(atPath: sortedPath)
        return (users.identifiers.count, queries)
    }

    /// Rows that were left out, beside the versions: `rejects.jsonl`. Nil where there are none.
    private func writeRejects() throws -> String? {
        guard !self.rejects.isEmpty else { return nil }
        let path = self.indexFolder + "/rejects.jsonl"
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        struct Line: Encodable {
            var file: String
            var row: Int
            var column: Int?
            var reason: String
        }
        var data = Data()
        for reject in self.rejects {
            data += try encoder.encode(
                Line(file: reject.file, row: reject.row.row, column: reject.row.column, reason: reject.row.reason))
            data += Data("\n".utf8)
        }
        try data.write(to: URL(fileURLWithPath: path), options: .atomic)
        return path
    }
}
