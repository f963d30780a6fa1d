package import AnnexCore
package import AnnexEngine
import AnnexIndex
package import AnnexLinearAlgebra
package import AnnexStore
package import AnnexTestSupport
import Foundation

/// A version made by hand: items `i0` …, users `u0` …, in a folder of its own.
package struct SmallVersion {
    package static let seed: UInt64 = 20_240_303
    package let folder: TemporaryFolder
    package var description: VersionDescription

    package init(
        name: String = "shop",
        version: String = "v1",
        items: Int = 3_000,
        users: Int = 50,
        dimension: Int = 24,
        kind: String = "HNSW16",
        metric: Metric = .ip,
        seed: UInt64 = SmallVersion.seed,
        foldIn: FoldInModel.Method? = nil,
        histories: [String: [HistoryEntry]]? = nil,
        trainedUntil: Int64 = 1_000,
        row given: ((_ id: String) -> [Float])? = nil
    ) throws {
        var random = SeededRandom(seed: seed)
        self.folder = try TemporaryFolder()
        let kind = try IndexKind(parsing: kind)
        let files = VersionDescription.Files(
            index: self.folder.file("index.faiss"),
            vectors: self.folder.file("vectors.f32"),
            serving: self.folder.file("serving.bin"),
            items: self.folder.file("items.lmdb"),
            users: self.folder.file("users")
        )
        func names(_ prefix: String, _ count: Int) throws -> [Identifier] {
            try (0..<count).map { try Self.known(Identifier("\(prefix)\($0)")) }.sorted()
        }
        let rows = try VectorFileWriter(path: files.vectors, rows: items, dimension: dimension)
        let ids = try ItemStoreWriter(path: files.items)
        for (ordinal, id) in try names("i", items).enumerated() {
            let row = given?(id.description) ?? (0..<dimension).map { _ in random.normal() }
            try rows.write(row: row.span, ordinal: ordinal)
            try ids.append(id, attributes: Array("{\"id\":\"\(id)\"}".utf8))
        }
        try rows.finish()
        try ids.finish()
        let people = try UserStoreWriter(
            folder: Self.known(files.users),
            dimension: dimension,
            withHistories: histories != nil
        )
        for id in try names("u", users) {
            let row = given?(id.description) ?? (0..<dimension).map { _ in random.normal() }
            let history = histories?[id.description] ?? []
            try people.append(id, vector: row.span, history: history)
        }
        try people.finish()
        let vectors = try VectorFile(path: files.vectors, rows: items, dimension: dimension)
        let index = try VectorIndex.build(kind: kind, metric: metric, vectors: vectors, seed: 1, threads: 2) { _ in }
        try index.write(path: files.index)
        try index.scanLayout(vectors: vectors, threads: 2).layout.write(path: Self.known(files.serving))
        let effort: SearchEffort =
            switch kind.knob(metric, withCodes: true) {
            case .efSearch: .efSearch(64)
            case .kappa: .kappa(0.7)
            case .nprobe: .nprobe(8)
            case nil: .exact
            }
        self.description = VersionDescription(
            index: try Self.known(EntryName(name)),
            version: try Self.known(EntryName(version)),
            kind: kind,
            metric: metric,
            dimension: dimension,
            itemCount: items,
            userCount: users,
            defaultEffort: DefaultEffort(effort),
            defaultItemEffort: effort,
            measuredRecall: nil,
            unreachableCount: nil,
            totalBytes: 0,
            files: files
        )
        if let histories {
            self.description.historyCount = histories.count
            self.description.trainedUntil = trainedUntil
        }
        if let foldIn {
            var gram: [Double] = []
            if case .als = foldIn { gram = Self.gram(vectors) }
            let path = self.folder.file("foldin.bin")
            let model = try FoldInModel(method: foldIn, dimension: dimension, gram: gram)
            try Data(model.encoded).write(to: URL(fileURLWithPath: path))
            self.description.foldIn = foldIn
            self.description.files.foldIn = path
        }
    }

    /// YᵀY.
    private static func gram(_ vectors: VectorFile) -> [Double] {
        let dimension = vectors.dimension
        var gram = [Double](repeating: 0, count: dimension * dimension)
        for ordinal in 0..<vectors.rows {
            vectors.withRow(ordinal) { row in
                for one in 0..<dimension {
                    for other in 0..<dimension {
                        gram[one * dimension + other] += Double(row[one]) * Double(row[other])
                    }
                }
            }
        }
        return gram
    }

    private static func known<T>(_ value: T?) throws -> T {
        guard let value else { throw AnnexError(.usage, "a test gave an impossible name") }
        return value
    }
}
