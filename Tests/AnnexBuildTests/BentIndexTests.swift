import AnnexBuild
import AnnexCore
import AnnexIndex
import AnnexTestSupport
import Foundation
import Testing

@Suite struct BentIndexTests {
    /// A length in an index file that the file cannot hold is refused before FAISS makes room for it.
    @Test(arguments: ["HNSW8", "IVF4,Flat", "IVF4,SQ8", "PCA4,HNSW8"]) func lengthsBeyondTheFile(_ kind: String) throws
    {
        let index = try BuiltIndex(items: 400, users: 10)
        let folder = try index.build {
            $0.index = kind
            $0.recall = 0.5
        }.folder
        let path = index.folder.file("bent.faiss")
        let whole = try Data(contentsOf: URL(fileURLWithPath: folder + "/" + VersionLayout.index))
        func load() throws {
            _ = try VectorIndex.load(
                path: path,
                kind: IndexKind(parsing: kind),
                metric: .ip,
                dimension: 6,
                rows: 400
            )
        }
        try whole.write(to: URL(fileURLWithPath: path))
        try load()
        for place in 0..<min(160, whole.count) {
            var data = whole
            data[place] = data[place] &+ 30
            try data.write(to: URL(fileURLWithPath: path))
            do { try load() } catch let error as AnnexError {
                #expect(error.code == .damaged && error.location == path, "byte \(place): \(error)")
            }
        }
    }
}
