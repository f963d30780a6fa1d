import AnnexCore
import AnnexIndex
import AnnexStore

/// Serves the items of a version: their ids, rows, norms and attributes, and how many there are.
///
/// The engine asks nothing else about items, so they can come from more than the files of one version. Any thread may
/// use it.
struct Catalogue: Sendable {
    private let vectors: VectorFile
    private let items: ItemStore

    /// Blocks: reads every id.
    ///
    /// - Throws: `AnnexError.damaged` where the files contradict the description.
    init(_ description: VersionDescription) throws(AnnexError) {
        let files = description.files
        self.vectors = try VectorFile(
            path: files.vectors,
            rows: description.itemCount,
            dimension: description.storedDimension
        )
        self.items = try ItemStore(path: files.items)
        try VersionDescription.check("items", self.items.count, description.itemCount, files.items)
    }

    var count: Int { self.vectors.rows }

    /// Counts the components of a row.
    var dimension: Int { self.vectors.dimension }

    /// Counts items that have attributes.
    var attributesCount: Int { self.items.attributesCount }

    /// Heap bytes held; mapped files are not counted.
    var heapBytes: Int { self.items.memoryBytes }

    /// Look-ups by id, and attributes, for one thread.
    func makeReader() throws(AnnexError) -> CatalogueReader { CatalogueReader(try self.items.makeReader()) }

    /// - Parameters:
    ///   - index: FAISS's index; nil where the layout or the rows are all that searches need.
    ///   - layout: the codes; nil where there are none.
    func makeSearcher(_ index: VectorIndex?, _ layout: ScanLayout?, _ metric: Metric) -> Searcher {
        Searcher(index: index, layout: layout, vectors: self.vectors, metric: metric)
    }

    // MARK: Ids

    /// Lends the id of an item. O(1).
    func withIdentifier(_ ordinal: Int32, _ body: (Span<UInt8>) -> Void) { self.items.withIdentifier(ordinal, body) }

    /// Copies the id of an item.
    func identifier(_ ordinal: Int32) -> [UInt8] { self.items.identifier(ordinal) }

    // MARK: Rows

    func norm(_ ordinal: Int32) -> Float { self.vectors.norm(Int(ordinal)) }

    /// Lends the row of an item: `dimension` floats.
    func withRow<R>(_ ordinal: Int32, _ body: (Span<Float>) -> R) -> R {
        self.vectors.withRow(Int(ordinal)) { body($0) }
    }

    /// Lends the rows of all items, and how many floats lie between the beginnings of two.
    func withRows<R>(_ body: (_ rows: Span<Float>, _ stride: Int) -> R) -> R {
        self.vectors.withRows { body($0, self.vectors.stride) }
    }

    /// Returns the exact float32 score of one item. O(dimension).
    func score(_ query: Span<Float>, queryNorm: Float, _ ordinal: Int32, _ metric: Metric) -> Float {
        self.vectors.score(query, queryNorm: queryNorm, ordinal, metric)
    }

    /// Lends the exact float32 scores of items with ordinals in a range; `VectorFile.forEachScore` tells the cost.
    func forEachScore(
        _ query: Span<Float>,
        queryNorm: Float,
        of ordinals: Range<Int>,
        _ metric: Metric,
        _ body: (Int32, Float) -> Void
    ) {
        self.vectors.forEachScore(query, queryNorm: queryNorm, of: ordinals, metric, body)
    }
}

/// One thread's look-ups in a catalogue. Allocates nothing per call.
struct CatalogueReader {
    private let items: ItemReader

    init(_ items: ItemReader) { self.items = items }

    /// Returns the ordinal of an id of any length; nil where it is unknown. O(bytes of the id).
    func ordinal(of id: Span<UInt8>) -> Int32? { self.items.ordinal(of: id) }

    /// Lends the attributes' JSON text; nil where the item has none.
    func withAttributes(_ ordinal: Int32, _ body: (Span<UInt8>?) -> Void) {
        self.items.withAttributes(ordinal, body)
    }
}
