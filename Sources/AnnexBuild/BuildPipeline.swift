import AnnexCore
import AnnexFormats
import AnnexIndex
import AnnexStore
import Foundation

/// Makes a published version from a recipe.
package struct BuildPipeline {
    let recipe: Recipe
    private let indexFolder: String
    private let threads: Int
    private let proof: PublishedVersions.Proof
    private let progress: (BuildProgress) -> Void
    private var seconds: [(BuildProgress.Stage, Double)] = []
    var rejects: [(file: String, row: RejectedRow)] = []
    /// Holds the sources as they were when they were hashed.
    private var sourceMarks: [FileMark] = []

    /// - Parameters:
    ///   - indexFolder: `indexes/NAME`; its last part must be the recipe's name.
    ///   - threads: 1 to 1,024; with one, the same input gives the same bytes.
    ///   - proof: of the version, once all its files are written and verified: what `serve` makes of it, which lies above this
    ///     target. Where it throws, nothing is published.
    package init(
        recipe: Recipe,
        indexFolder: String,
        threads: Int,
        proof: @escaping PublishedVersions.Proof = { _ in },
        progress: @escaping (BuildProgress) -> Void
    ) {
        self.recipe = recipe
        self.indexFolder = indexFolder
        self.threads = threads
        self.proof = proof
        self.progress = progress
    }

    /// Blocks until the version is published. Nothing is left behind where it throws.
    ///
    /// - Throws: `.busy` while another build of the index runs; `.badInput` with file, row and column; `.recall` with the
    ///   table where the target is not reached.
    package mutating func run() throws -> BuildResult {
        try self.recipe.validate()
        guard (1...1_024).contains(self.threads) else {
            throw AnnexError(.usage, "threads \(self.threads) is not between 1 and 1024")
        }
        let started = Date()
        let publisher = try Publisher(indexFolder: self.indexFolder)
        let sources = try self.timed(.sources) { pipeline in try pipeline.hashSources() }

        var items = MatrixIngest(
            vectors: self.recipe.resolve(self.recipe.vectors),
            ids: self.recipe.ids.map(self.recipe.resolve),
            bias: try self.recipe.itemBiases(),
            what: "items",
            rules: self.recipe.factorRules
        )
        let withAttributes = try self.timed(.items) { pipeline in
            try items.run(to: publisher.path(VersionLayout.vectors)) { pipeline.tell(.items, $0 * 0.9) }
            pipeline.rejects += items.rejects
            return try pipeline.writeItems(items.identifiers, publisher)
        }
        let vectors = try VectorFile(
            path: publisher.path(VersionLayout.vectors),
            rows: items.identifiers.count,
            dimension: items.storedDimension
        )

        let known = KnownRows(identifiers: items.identifiers, numbersOfRows: items.ordinalsOfRows)
        let users = try self.takeUsers(publisher, vectors, known)
        try self.confirmSources()
        let index = try self.makeIndex(publisher, vectors, users.queries)
        return try self.timed(.publish) { pipeline in
            let facts = Facts(
                sources: sources,
                items: items.identifiers.count,
                dimension: items.dimension,
                storedDimension: items.storedDimension,
                withAttributes: withAttributes,
                users: users
            )
            return try pipeline.publish(publisher, facts, index, started: started)
        }
    }

    /// Holds the facts of the index that was kept, once it is written: it is not held any more when the version is
    /// loaded to prove it.
    private struct WrittenIndex {
        var kind: IndexKind
        var outcome: RecallMeasurement.Outcome
        var onItems: Manifest.Measured?
        var leavingOut: Manifest.LeavingOut?
        var tried: [Manifest.Candidate]
        var micros: [Double]
    }

    /// Builds, measures and writes the index and its scan layout.
    private mutating func makeIndex(
        _ publisher: Publisher,
        _ vectors: VectorFile,
        _ users: HeldOutQueries?
    ) throws -> WrittenIndex {
        let choice = try CandidateBuilder(
            metric: self.recipe.metric,
            target: self.recipe.recall,
            seed: self.recipe.seed,
            threads: self.threads,
            vectors: vectors,
            users: users,
            isBiased: self.recipe.bias != nil,
            progress: self.tell
        )
        .best(of: self.recipe.kinds(rows: vectors.rows))
        let winner = choice.winner
        self.seconds += winner.seconds
        try winner.index.write(path: publisher.path(VersionLayout.index))
        try winner.layout.write(path: publisher.path(VersionLayout.serving))
        return WrittenIndex(
            kind: winner.kind,
            outcome: winner.outcome,
            onItems: winner.onItems?.measured,
            leavingOut: winner.leavingOut,
            tried: choice.tried,
            micros: choice.micros
        )
    }

    private struct Facts {
        var sources: [Manifest.Source]
        var items: Int
        var dimension: Int
        var storedDimension: Int
        var withAttributes: Int
        var users: UserIngest.Outcome
    }

    private func publish(
        _ publisher: Publisher,
        _ facts: Facts,
        _ index: WrittenIndex,
        started: Date
    ) throws -> BuildResult {
        let users = facts.users
        let hasHistory = self.recipe.history != nil
        let manifest = Manifest(
            index: self.recipe.name.value,
            metric: self.recipe.metric.rawValue,
            kind: index.kind.description,
            dimension: facts.dimension,
            storedDimension: facts.storedDimension,
            items: facts.items,
            users: users.users,
            itemsWithAttributes: facts.withAttributes,
            rejectedRows: self.rejects.count,
            seed: self.recipe.seed,
            bias: self.recipe.modelBias.map { Manifest.Bias($0) },
            recipe: self.recipe.rendered,
            sources: facts.sources,
            measured: index.outcome.measured,
            measuredLeavingOut: index.leavingOut,
            measuredOnItems: index.onItems,
            candidates: index.tried.count > 1 ? index.tried : nil,
            foldIn: users.foldIn,
            trainedUntil: self.recipe.trainedUntil,
            histories: hasHistory ? users.histories : nil,
            interactions: hasHistory ? users.interactions : nil,
            files: try VersionLayout.files(
                withUsers: users.users > 0 || users.histories > 0,
                withFoldIn: users.foldIn != nil
            ).map { file in
                let (hex, bytes) = try FileHash.sha256(publisher.path(file))
                return Manifest.FileEntry(path: file, bytes: bytes, sha256: hex)
            }
        )
        let report = try BuildReport.data(
            started: started,
            seconds: self.seconds,
            threads: self.threads,
            micros: index.outcome.micros,
            table: index.outcome.measured.table,
            candidates: zip(index.tried, index.micros).map { ($0.kind, $1) }
        )
        let version = try publisher.publish(
            manifest: manifest,
            report: report,
            rejects: try self.rejectLines(),
            proof: self.proof
        )
        return BuildResult(
            version: version,
            folder: PublishedVersions.folder(of: self.indexFolder, version),
            manifest: manifest,
            microsPerQuery: index.outcome.micros.last ?? 0,
            candidateMicros: index.micros,
            rejectsFile: self.rejects.isEmpty ? nil : self.indexFolder + "/" + VersionLayout.rejects(version)
        )
    }

    // MARK: Stages

    private func tell(_ stage: BuildProgress.Stage, _ fraction: Double) {
        self.progress(BuildProgress(stage: stage, fraction: min(1, max(0, fraction))))
    }

    private mutating func timed<R>(_ stage: BuildProgress.Stage, _ body: (inout BuildPipeline) throws -> R) throws -> R
    {
        let begin = DispatchTime.now().uptimeNanoseconds
        self.tell(stage, 0)
        let result = try body(&self)
        self.tell(stage, 1)
        self.seconds.append((stage, Double(DispatchTime.now().uptimeNanoseconds - begin) / 1e9))
        return result
    }

    private mutating func hashSources() throws -> [Manifest.Source] {
        var sources: [Manifest.Source] = []
        for (role, file) in self.recipe.files {
            let path = FactorSource(self.recipe.resolve(file)).path
            do {
                let (hex, mark) = try FileHash.marked(path, followLinks: true)
                self.sourceMarks.append(mark)
                sources.append(
                    Manifest.Source(
                        role: role,
                        file: (file as NSString).lastPathComponent,
                        bytes: mark.bytes,
                        sha256: hex
                    )
                )
            } catch {
                throw AnnexError(
                    .badInput,
                    error.message,
                    at: path,
                    hint: "It was given as '\(role)': is it there, whole and readable?"
                )
            }
        }
        return sources
    }

    /// The manifest's checksums must be those of what was read.
    private func confirmSources() throws(AnnexError) {
        for mark in self.sourceMarks {
            let now: FileMark? = try? FileMark(mark.path, followLinks: true)
            guard now == mark else {
                throw AnnexError(
                    .badInput,
                    "was changed while it was read",
                    at: mark.path,
                    hint: "Build again once it is whole"
                )
            }
        }
    }

    /// Takes in the users, in up to three stages, by what the recipe says.
    private mutating func takeUsers(
        _ publisher: Publisher,
        _ vectors: VectorFile,
        _ items: KnownRows
    ) throws -> UserIngest.Outcome {
        var users = UserIngest(
            recipe: self.recipe,
            publisher: publisher,
            vectors: vectors,
            items: items,
            threads: self.threads
        )
        let stages = BuildProgress.Stage.all(of: self.recipe)
        var outcome = UserIngest.Outcome()
        try self.timed(.users) { pipeline in
            try users.readFactors { pipeline.tell(.users, $0 * 0.7) }
            if !stages.contains(.foldIn) { outcome = try users.write { pipeline.tell(.users, 0.7 + $0 * 0.3) } }
        }
        if stages.contains(.histories) {
            try self.timed(.histories) { pipeline in try users.readHistories { pipeline.tell(.histories, $0) } }
        }
        if stages.contains(.foldIn) {
            try self.timed(.foldIn) { pipeline in outcome = try users.write { pipeline.tell(.foldIn, $0) } }
        }
        self.rejects += users.rejects
        return outcome
    }

    /// Renders the rows that were left out, a JSON object each. Returns nil where there are none.
    private func rejectLines() throws -> Data? {
        guard !self.rejects.isEmpty else { return nil }
        struct Line: Encodable {
            var file: String
            var row: Int
            var column: Int?
            var reason: String
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        var data = Data()
        for (file, row) in self.rejects {
            data += try encoder.encode(Line(file: file, row: row.row, column: row.column, reason: row.reason))
            data += Data("\n".utf8)
        }
        return data
    }
}
