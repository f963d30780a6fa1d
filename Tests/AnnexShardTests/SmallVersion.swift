import AnnexCore
import AnnexEngine
import AnnexIndex
import AnnexStore
import AnnexTestSupport
import Testing

/// A version made by hand: items `i0` …, users `u0` …, in a folder of its own.
struct SmallVersion {
    static let seed: UInt64 = 20_240_303
    let folder: TemporaryFolder
    let description: VersionDescription

    init(
        name: String = "shop",
        version: String = "v1",
        items: Int = 3_000,
        users: Int = 50,
        dimension: Int = 24,
        kind: String = "HNSW16",
        metric: Metric = .ip,
        seed: UInt64 = SmallVersion.seed
    ) throws {
        var random = SplitMix64(seed: seed)
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
            try (0..<count).map { try #require(Identifier("\(prefix)\($0)")) }.sorted()
        }
        let rows = try VectorFileWriter(path: files.vectors, rows: items, dimension: dimension)
        let ids = try ItemStoreWriter(path: files.items)
        for (ordinal, id) in try names("i", items).enumerated() {
            let row = (0..<dimension).map { _ in random.normal() }
            try row.withUnsafeBufferPointer { try rows.write(row: $0, ordinal: ordinal) }
            try ids.append(id, attributes: Array("{\"id\":\"\(id)\"}".utf8))
        }
        try rows.finish()
        try ids.finish()
        let people = try UserStoreWriter(folder: #require(files.users), dimension: dimension)
        for id in try names("u", users) {
            let row = (0..<dimension).map { _ in random.normal() }
            try row.withUnsafeBufferPointer { try people.append(id, vector: $0) }
        }
        try people.finish()
        let vectors = try VectorFile(path: files.vectors, rows: items, dimension: dimension)
        let index = try VectorIndex.build(kind: kind, metric: metric, vectors: vectors, seed: 1, threads: 2) { _ in }
        try index.write(path: files.index)
        try index.scanLayout(vectors: vectors, threads: 2).write(path: #require(files.serving))
        self.description = VersionDescription(
            index: try #require(EntryName(name)),
            version: try #require(EntryName(version)),
            kind: kind,
            metric: metric,
            dimension: dimension,
            itemCount: items,
            userCount: users,
            defaultEffort: .efSearch(64),
            defaultItemEffort: .efSearch(64),
            measuredRecall: nil,
            unreachableCount: nil,
            totalBytes: 0,
            files: files
        )
    }
}
